"""A service of a known task is added by data alone: `helmets`, a second detector, served beside the first."""

import html
import re

import numpy as np
import orjson
import pytest
import tritonclient.grpc as triton_grpc
from openapi_spec_validator import validate
from serving import answering

from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import sample_request, v2_binary
from modelport.services import choose
from modelport.stack.stack import StackSettings

DECLARATION = """
services:
  detector:
    task: detection
    models: [yolov3_tiny]
  helmets:
    task: detection
    models: [yolov3_tiny]
"""


@pytest.fixture(scope="module")
def settings(free_ports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("helmets")
    (folder / "services.yaml").write_text(DECLARATION)
    return StackSettings(choose(path=folder / "services.yaml"), *free_ports(5), logs=folder)


@pytest.fixture(scope="module")
def served(settings):
    """A stack with the detector's model alone, which both services share."""
    with answering(settings) as client:
        yield client


@pytest.fixture
def helmets(settings):
    return build_task(settings.services[1])


def test_the_model_is_loaded_once(settings):
    assert settings.models == ("yolov3_tiny",)


def test_every_route_answers_as_the_first_detectors_does(served, helmets, coffee):
    for protocol in ("own", "v1", "v2"):
        request = sample_request(helmets, protocol, coffee)
        found = served.post(request.path, content=request.body, headers=dict(request.headers))
        first = request.path.replace("helmets", "detector")
        assert found.status_code == 200
        assert found.json() == served.post(first, content=request.body, headers=dict(request.headers)).json() | (
            {"model_name": "helmets"} if protocol == "v2" else {}
        )
    binary = v2_binary(helmets, coffee)
    assert served.post(binary.path, content=binary.body, headers=dict(binary.headers)).status_code == 200
    assert served.get("/helmets/health").json() == {"status": "healthy"}
    assert served.get("/").json()["services"]["helmets"] == "POST /helmets/api/"
    assert served.get("/v1/models").json() == {"models": ["detector", "helmets"]}


def test_grpc_answers_and_says_the_same_of_it_as_rest(served, settings, coffee):
    told = served.get("/v2/models/helmets").json()
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{settings.grpc_port}") as client:
        tensor = triton_grpc.InferInput("image", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([coffee], object))
        # `priority` is the protocol's own: REST ignores it, too
        assert b"cup" in client.infer("helmets", [tensor], priority=1).as_numpy("label")
        metadata = client.get_model_metadata("helmets", as_json=True)
        server = client.get_server_metadata(as_json=True)
    assert (metadata["versions"], metadata["platform"]) == (told["versions"], told["platform"])
    assert [output["name"] for output in metadata["outputs"]] == [output["name"] for output in told["outputs"]]
    assert server == served.get("/v2").json()


def test_the_api_document_describes_it(served):
    document = served.get("/openapi.json").json()
    validate(document)
    assert [tag["name"] for tag in document["tags"]] == ["server", "detector", "helmets"]
    assert {"/helmets/api/", "/v1/models/helmets:predict", "/v2/models/helmets/infer"} <= document["paths"].keys()
    v2 = document["paths"]["/v2/models/helmets/infer"]["post"]["responses"]["200"]["content"]["application/json"]
    assert v2["example"]["model_name"] == "helmets"


def test_the_page_has_its_tab(served):
    page = served.get("/helmets/", headers={"accept": "text/html"}).text
    told = orjson.loads(html.unescape(re.search(r'name="modelport" content="(.*?)"', page)[1]))
    assert [(one["name"], one["view"]) for one in told["services"]] == [
        ("detector", "detection"),
        ("helmets", "detection"),
    ]


def test_it_has_its_own_metrics(served, helmets):
    request = sample_request(helmets, "own")
    served.post(request.path, content=request.body, headers=dict(request.headers))
    metrics = served.get("/metrics").text
    assert 'modelport_service_ready{service="helmets"} 1.0' in metrics
    counted = re.search(r'modelport_requests_total\{outcome="200",protocol="own",service="helmets"\} ([\d.]+)', metrics)
    assert float(counted[1]) >= 1
