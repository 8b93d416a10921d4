"""The OpenAPI document against the running stack: what it says of answers, errors and routes is so.

`RECORD_EXAMPLES=1 pytest tests/integration/test_document.py` writes the answers that the document shows.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
import tritonclient.http as triton
from image_files import encode
from openapi_spec_validator import validate
from PIL import Image
from transformer import serving
from waiting import wait_for

from kserve_transformers.errors import (
    BadAnswerError,
    BadRequestError,
    BusyError,
    LateBodyError,
    NotFoundError,
    NotReadyError,
    ServingError,
    TooLargeError,
    TooLateError,
    UnauthenticatedError,
    UnprocessableError,
    UnsupportedMediaError,
)
from kserve_transformers.openapi import examples
from kserve_transformers.openapi.operations import ERRORS, error_name
from kserve_transformers.tasks import TASKS
from modelport.services import load

pytestmark = pytest.mark.stack

SERVICES = load()
TIMEOUT = "x-request-timeout-ms"
# No caller can provoke the first, since a chain is checked before it is ready: tests/transformers/predictor does. The
# second needs a server with API keys: tests/transformers/test_api_keys.py.
UNMET = (BadAnswerError, UnauthenticatedError, LateBodyError)
KEYS = {"own_post": "own", "V1_predict": "v1", "V2_infer": "v2"}


@pytest.fixture(scope="module")
def document(stack):
    schema = schemathesis.openapi.from_url(f"{stack.http}/openapi.json")
    return schema.raw_schema


@pytest.fixture(scope="module")
def operations(stack):
    schema = schemathesis.openapi.from_url(f"{stack.http}/openapi.json")
    return {
        operation["operationId"]: schema[path][method.upper()]
        for path, methods in schema.raw_schema["paths"].items()
        for method, operation in methods.items()
    }


def example_of(operation) -> Any:
    return operation.definition.raw["requestBody"]["content"]["application/json"]["example"]


def posts(operations, kind):
    """Operations that infer, by service."""
    return {service: operations[f"{service}_{kind}"] for service in SERVICES}


def image_for(service: str) -> bytes:
    return TASKS[SERVICES[service].task].example_instance()


def close(found: Any, wanted: Any) -> bool:
    """Equal, but for what numbers of another machine may be off."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(close, found, wanted))
    if isinstance(wanted, float):
        return bool(np.isclose(found, wanted, rtol=0.02, atol=0.01))
    return bool(found == wanted)


def test_it_is_openapi_and_names_what_is_hosted(document):
    validate(document)
    assert [tag["name"] for tag in document["tags"]] == ["server", *SERVICES]
    assert "20971520 bytes" in document["info"]["description"]


@pytest.mark.parametrize("kind", ["own_post", "V1_predict", "V2_infer"])
def test_every_example_is_answered_as_shown(operations, kind):
    recorded = {}
    for service, operation in posts(operations, kind).items():
        case = operation.Case(body=example_of(operation), media_type="application/json")
        response = case.call_and_validate()
        assert response.status_code == 200
        recorded[examples.answer_key(SERVICES[service], KEYS[kind])] = response.json()
    if os.environ.get("RECORD_EXAMPLES"):
        everything = dict(sorted({**json.loads(examples.ANSWERS.read_text()), **recorded}.items()))
        examples.ANSWERS.write_text(json.dumps(everything, indent=1) + "\n")
        return
    for service, operation in posts(operations, kind).items():
        shown = operation.definition.raw["responses"]["200"]["content"]["application/json"]["example"]
        found = recorded[examples.answer_key(SERVICES[service], KEYS[kind])]
        # with weights of the user's own the classifier and cars may rightly say something else
        if service not in ("classifier", "cars") or "untrained" in json.dumps(found):
            assert close(found, shown), (found, shown)


def test_every_get_answers_as_documented(operations, document, client):
    asked = 0
    for path, methods in document["paths"].items():
        if "get" in methods:
            parameters = {"version": "1"} if "{version}" in path else {}
            case = operations[methods["get"]["operationId"]].Case(path_parameters=parameters)
            assert case.call_and_validate().status_code == 200, path
            for form in (path.rstrip("/"), f"{path.rstrip('/')}/"):
                assert client.get(form.format(**parameters)).status_code == 200, form
            asked += 1
    assert asked == 8 + 9 * len(SERVICES)


@pytest.mark.parametrize("service", [name for name, spec in SERVICES.items() if spec.task != "anomaly"])
def test_every_documented_image_type_is_read(operations, client, service):
    image = image_for(service)
    for kind in ("own_post", "V1_predict"):
        operation = operations[f"{service}_{kind}"]
        for media_type in operation.definition.raw["requestBody"]["content"]:
            if media_type.startswith(("image/", "application/octet-stream")):
                response = client.post(operation.path, content=image, headers={"content-type": media_type})
                operation.validate_response(response)
                assert response.status_code == 200, media_type


def test_the_documented_form_is_read(operations):
    operation = operations["digits_own_post"]
    case = operation.Case(body={"file": image_for("digits")}, media_type="multipart/form-data")
    assert case.call_and_validate().json()["predicted_digit"] == 5


@pytest.mark.parametrize("service", list(SERVICES))
def test_the_binary_form_is_as_documented(operations, stack, service):
    """Sent by Triton's own client; the answer's binary outputs are those that the JSON names."""
    operation = operations[f"{service}_V2_infer"]
    (wanted,) = example_of(operation)["inputs"]
    if wanted["datatype"] == "BYTES":
        array = np.array([image_for(service)], object)
    else:
        array = np.array([wanted["data"]], np.float32)
    tensor = triton.InferInput(wanted["name"], list(array.shape), wanted["datatype"])
    tensor.set_data_from_numpy(array)
    body, json_length = triton.InferenceServerClient.generate_request_body([tensor])
    headers = {"inference-header-content-length": str(json_length)}
    case = operation.Case(body=body, headers=headers, media_type="application/octet-stream")
    response = case.call_and_validate()
    assert response.status_code == 200
    assert response.headers["content-type"] == ["application/octet-stream"]
    length = int(response.headers["inference-header-content-length"][0])
    outputs = json.loads(response.content[:length])["outputs"]
    assert sum(output["parameters"]["binary_data_size"] for output in outputs) == len(response.content) - length


@pytest.mark.parametrize("kind", ["V1_predict", "V2_infer"])
def test_the_reconstruction_is_documented_where_it_is_asked_for(operations, kind):
    operation = operations[f"anomaly_{kind}"]
    body = {**example_of(operation), "parameters": {"reconstruction": True}}
    response = operation.Case(body=body, media_type="application/json").call_and_validate()
    assert response.status_code == 200
    assert "reconstruction" in response.text


@pytest.fixture(scope="module")
def troubled(stack, free_ports, tmp_path_factory):
    """A server that cannot do what is asked: one place in a queue, no classifier."""
    troubles = [SERVICES["detector"], replace(SERVICES["classifier"], models=("nothing",))]
    options = ["--queue_size=1", f"--predictor_host={stack.triton_http}"]
    options += [f"--service={spec.argument()}" for spec in troubles]
    with serving(tmp_path_factory.mktemp("troubled") / "log", free_ports(2), *options) as (_, client):
        wait_for(lambda: client.get("/v2/health/ready").json()["services"]["detector"]["ready"])
        yield client


def nameless(text: str) -> str:
    """The message of whichever service and model."""
    return re.sub("|".join([*SERVICES, "yolov3_tiny", "mnist"]), "_", text)


def provoke(error: type[ServingError], client: httpx.Client, troubled: httpx.Client) -> tuple[str, httpx.Response]:
    """The operation that was asked, and its answer."""

    def send(**headers: str) -> dict[str, Any]:
        return {"content": image_for("detector"), "headers": {"content-type": "image/webp", **headers}}

    image = send()
    ask = {
        BadRequestError: lambda: ("detector_own_post", client.post("/detector/api/", **send(**{TIMEOUT: "soon"}))),
        NotFoundError: lambda: ("detector_V1_predict", client.post("/v1/models/boats:predict", **image)),
        TooLargeError: lambda: (
            "detector_V1_predict",
            client.post("/v1/models/detector:predict", json={"instances": ["QUJD"] * 33}),
        ),
        UnsupportedMediaError: lambda: (
            "cars_own_post",
            client.post("/cars/predict", **send(**{"content-encoding": "br"})),
        ),
        UnprocessableError: lambda: (
            "digits_own_post",
            client.post(
                "/digits/predict",
                content=encode(Image.new("RGB", (200, 200), "white"), "PNG"),
                headers={"content-type": "image/png"},
            ),
        ),
        NotReadyError: lambda: ("classifier_own_post", troubled.post("/classifier/classify", **image)),
        TooLateError: lambda: ("detector_own_post", client.post("/detector/api/", **send(**{TIMEOUT: "1"}))),
    }
    if error is not BusyError:
        return ask[error]()

    def refused() -> list[httpx.Response]:
        with ThreadPoolExecutor(8) as threads:
            answers = threads.map(lambda _: troubled.post("/detector/api/", **image), range(16))
            return [answer for answer in answers if answer.status_code == 429]

    return "detector_own_post", wait_for(refused)[0]


@pytest.mark.parametrize(
    "error", [error for error in ERRORS if error not in UNMET], ids=lambda error: str(error.status)
)
def test_every_documented_error_can_be_met(operations, document, client, troubled, error):
    key, response = provoke(error, client, troubled)
    assert response.status_code == error.status
    shown = document["components"]["responses"][error_name(error)]["content"]["application/json"]["example"]
    assert list(response.json()) == ["error"]
    if error is not TooLateError:  # it says what was not done in time, which is not the same each time
        assert nameless(response.json()["error"]) == nameless(shown["error"])
    assert ("retry-after" in response.headers) == (error.retry_after_s is not None)
    if error is not NotFoundError:  # the documented paths are those that are there
        operations[key].validate_response(response)
