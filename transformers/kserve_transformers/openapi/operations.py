"""Describes each route in the OpenAPI document: a table from the route's name to its requests and answers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kserve_transformers.arrays.images.formats import media_types
from kserve_transformers.deadline import TIMEOUT_HEADER
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
from kserve_transformers.observe import REQUEST_ID
from kserve_transformers.openapi import examples, schemas
from kserve_transformers.openapi.schemas import Schema, ref
from kserve_transformers.protocol import answers
from kserve_transformers.protocol.events import STRUCTURED
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v2 import JSON_LENGTH_HEADER
from kserve_transformers.service import Service, Services
from kserve_transformers.settings import Limits
from kserve_transformers.tasks import samples

# Every error that a request can meet, and what its caller reads.
ERRORS: Mapping[type[ServingError], str] = {
    BadRequestError: f"{TIMEOUT_HEADER} must be a positive number of milliseconds",
    UnauthenticatedError: str(UnauthenticatedError()),
    NotFoundError: "no such service here: there are {services}",
    LateBodyError: "the body did not come within {timeout_s:g} s",
    TooLargeError: "{too_many} instances; the limit is {instances} a request",
    UnsupportedMediaError: "the body has the content coding 'br': send it in one of gzip, deflate, or uncoded",
    UnprocessableError: "no digit in the image: nothing stands out from its ground; "
    "write darker, or take the photo from nearer",
    BusyError: "{service} is busy: more requests wait than it can answer in time, try again shortly",
    BadAnswerError: "model {model} answered an error: the request was not carried out",
    NotReadyError: "{service} is not ready: no model of its chain can answer yet, try again shortly",
    TooLateError: "the request's deadline passed before an answer was there",
}
_INFER_ERRORS = tuple(error for error in ERRORS if error not in (UnauthenticatedError, NotFoundError))
# Answers that are not predictions.
ANSWER_TYPES = (
    answers.Error,
    answers.Live,
    answers.ModelList,
    answers.ServiceReady,
    answers.ServerMetadata,
    answers.Readiness,
    answers.ServiceMetadata,
    answers.ServiceConfig,
    answers.OwnIndex,
    answers.OwnState,
    answers.OwnHealth,
    answers.Index,
)
EVENT = "CloudEvent"


@dataclass(frozen=True)
class Hosted:
    """What the document is about. `open_paths` are those that need no API key; None where none does."""

    services: Services
    limits: Limits
    open_paths: Collection[str] | None = None

    def service(self, name: str | None) -> Service:
        """The service that a route belongs to."""
        assert name is not None  # noqa: S101  (the route's path or tag names one)
        return self.services[name]


def named_schemas(hosted: Hosted) -> dict[str, Schema]:
    """What several operations refer to, beside the types of answers."""
    made = {EVENT: schemas.event()}
    for name, service in hosted.services.items():
        made[f"{name}_v2_request"] = schemas.v2_request(service, hosted.limits.instances)
        made[f"{name}_v2_answer"] = schemas.v2_answer(service)
    return made


Operation = dict[str, Any]
Describe = Callable[[Hosted, str | None], Operation]


def error_name(error: type[ServingError]) -> str:
    """An error's place among the document's responses."""
    return error.__name__.removesuffix("Error")


def error_example(error: type[ServingError], hosted: Hosted) -> dict[str, str]:
    """What a caller of the first service reads."""
    service, limits = next(iter(hosted.services.values())), hosted.limits
    names = {
        "service": service.name,
        "services": ", ".join(hosted.services),
        "model": service.chain.models[0].name,
        "timeout_s": limits.timeout_s,
        "instances": limits.instances,
        "too_many": limits.instances + 1,
    }
    return {"error": ERRORS[error].format_map(names)}


def _json(schema: Schema, example: object = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **({} if example is None else {"example": example})}}


def _answer(text: str, content: Mapping[str, Any], headers: Sequence[str] = ()) -> dict[str, Any]:
    named = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {"description": text, "content": dict(content), **({"headers": named} if named else {})}


def _get(summary: str, answer: type, unready: type | type[ServingError] | None = None) -> Describe:
    """A GET route: what it answers, and with which status 503 it says that something is not ready."""

    def describe(hosted: Hosted, name: str | None) -> Operation:
        responses: dict[str, Any] = {"200": _answer("OK.", _json(ref(answer.__name__)))}
        if unready is NotReadyError:
            responses["503"] = {"$ref": "#/components/responses/NotReady"}
        elif unready:
            responses["503"] = _answer("Not ready.", _json(ref(unready.__name__)))
        return {"summary": summary.format(service=name), "responses": responses}

    return describe


def _post(
    summary: str,
    key: str,
    body: Callable[[Hosted, Service], dict[str, Any]],
    answer: Callable[[Service, object], dict[str, Any]],
    headers: Sequence[str] = (),
) -> Describe:
    """A POST route that infers."""

    def describe(hosted: Hosted, name: str | None) -> Operation:
        service = hosted.service(name)
        recorded = examples.recorded_answer(service, key)
        common = (TIMEOUT_HEADER, REQUEST_ID, "traceparent", "tracestate", *headers)
        return {
            "summary": summary.format(service=name),
            "parameters": [*({"$ref": f"#/components/parameters/{header}"} for header in common), *_query(service)],
            "requestBody": {"required": True, "content": body(hosted, service)},
            "responses": {
                "200": _answer("The answer.", answer(service, recorded), (REQUEST_ID, "server-timing")),
                **{
                    str(error.status): {"$ref": f"#/components/responses/{error_name(error)}"}
                    for error in _INFER_ERRORS
                },
            },
        }

    return describe


def _query(service: Service) -> list[dict[str, Any]]:
    """The options, which every inference route takes in the query, too."""
    known = schemas.parameters(service).items()
    described = {name: (schema.pop("description"), {**schema, "type": schema["type"][0]}) for name, schema in known}
    return [
        {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in described.items()
    ]


def _images(hosted: Hosted) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    return {
        media_type: {"schema": file}
        for media_type in (*media_types(hosted.limits.refused_formats), "application/octet-stream")
    }


def _own_body(hosted: Hosted, service: Service) -> dict[str, Any]:
    content = _json(schemas.own_request(service, hosted.limits.instances), _example(samples.legacy_document, service))
    if service.task.kind is InstanceKind.IMAGE:
        content["multipart/form-data"] = {"schema": schemas.form_request(service)}
        content |= _images(hosted)
    return content


def _own_answer(service: Service, recorded: object) -> dict[str, Any]:
    presentation = service.task.presentation
    if service.task.kind is InstanceKind.WINDOW:
        return _json(_predictions(ref(presentation.prediction.__name__)), recorded)
    return _json(ref((presentation.legacy_answer or presentation.prediction).__name__), recorded)


def _v1_body(hosted: Hosted, service: Service) -> dict[str, Any]:
    request = schemas.v1_request(service, hosted.limits.instances)
    content = _json(request, _example(samples.v1_document, service))
    content[STRUCTURED] = {"schema": ref(EVENT)}
    return content | (_images(hosted) if service.task.kind is InstanceKind.IMAGE else {})


def _v1_answer(service: Service, recorded: object) -> dict[str, Any]:
    answer = _predictions(ref(service.task.presentation.prediction.__name__))
    return {**_json(answer, recorded), STRUCTURED: {"schema": ref(EVENT)}}


def _v2_body(hosted: Hosted, service: Service) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary", "description": _BINARY}
    return {
        **_json(ref(f"{service.name}_v2_request"), _example(samples.v2_document, service)),
        "application/octet-stream": {"schema": binary},
    }


_BINARY = (
    f"The JSON, then the tensors' raw data; {JSON_LENGTH_HEADER} says how many bytes are JSON, each tensor's parameter"
    " binary_data_size how many are its own. BYTES elements follow their length in 4 bytes, little-endian. If the"
    " header is 0, the body is the raw data of the input alone: one image, or one window."
)


def _v2_answer(service: Service, recorded: object) -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary", "description": _BINARY}}
    return {**_json(ref(f"{service.name}_v2_answer"), recorded), "application/octet-stream": binary}


def _predictions(prediction: Schema) -> Schema:
    return schemas.closed({"predictions": schemas.array(prediction)}, "predictions")


def _example(make: Callable[..., Any], service: Service) -> Any:
    instance = examples.instance(service)
    return None if instance is None else make(service.task, instance)


def _metrics(hosted: Hosted, name: str | None) -> Operation:
    text = {"schema": {"type": "string"}}
    content = {"text/plain": text, "application/openmetrics-text": text}
    return {"summary": "Prometheus metrics.", "responses": {"200": _answer("By the Accept header.", content)}}


def _document(hosted: Hosted, name: str | None) -> Operation:
    return {"summary": "This document.", "responses": {"200": _answer("OpenAPI 3.1.", _json({"type": "object"}))}}


# By the route's tag and the function that answers; "own" is a service's own router.
OPERATIONS: Mapping[str, Describe] = {
    "own_post": _post("Infer by {service}'s legacy route.", "own", _own_body, _own_answer),
    "own_state": _get("Whether {service} is ready, and where it takes requests.", answers.OwnState, answers.OwnState),
    "own_index": _get("That the server is alive, and where {service} takes requests.", answers.OwnIndex),
    "own_health": _get("Whether {service} is ready.", answers.OwnHealth, answers.OwnHealth),
    "V1_models": _get("The services of this server.", answers.ModelList),
    "V1_model_ready": _get("Whether {service} is ready.", answers.ServiceReady, NotReadyError),
    "V1_predict": _post("Infer with {service} by KServe's V1 protocol.", "v1", _v1_body, _v1_answer),
    "V2_server_metadata": _get("What this server is.", answers.ServerMetadata),
    "V2_live": _get("Whether the event loop answers.", answers.Live),
    "V2_ready": _get("Whether every service is ready, by its golden sample.", answers.Readiness, answers.Readiness),
    "V2_models": _get("The services of this server.", answers.ModelList),
    "V2_model_metadata": _get("Inputs, outputs and models of {service}.", answers.ServiceMetadata),
    "V2_model_config": _get("{service} in the terms of Triton's model configuration.", answers.ServiceConfig),
    "V2_model_ready": _get("Whether {service} is ready.", answers.ServiceReady, NotReadyError),
    "V2_infer": _post(
        "Infer with {service} by the Open Inference Protocol (V2).", "v2", _v2_body, _v2_answer, (JSON_LENGTH_HEADER,)
    ),
    "server_index": _get("Where each service takes requests.", answers.Index),
    "server_metrics": _metrics,
    "server_document": _document,
}
