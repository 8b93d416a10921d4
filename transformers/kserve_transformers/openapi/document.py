"""The OpenAPI document, put together from a server's routes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from kserve_transformers import __version__
from kserve_transformers.arrays.images.formats import listed
from kserve_transformers.deadline import TIMEOUT_HEADER
from kserve_transformers.errors import UnauthenticatedError
from kserve_transformers.http1 import MAX_HEAD_BYTES
from kserve_transformers.observe import REQUEST_ID
from kserve_transformers.openapi import schemas
from kserve_transformers.openapi.operations import (
    ANSWER_TYPES,
    ERRORS,
    OPERATIONS,
    Hosted,
    error_example,
    error_name,
    named_schemas,
)
from kserve_transformers.protocol.codings import MAX_RATIO
from kserve_transformers.protocol.documents import MAX_CONTAINERS, MAX_VALUES
from kserve_transformers.protocol.v2 import JSON_LENGTH_HEADER, MODEL_VERSION
from kserve_transformers.settings import Limits

_SERVICE = "{service}"
_VERSION = "{version}"
_KEY = "key"


def build_document(routers: Iterable[APIRouter], hosted: Hosted) -> dict[str, Any]:
    """The document of what these routers serve.

    Raises:
        KeyError: no operation describes a route.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in _routes(routers):
        tag = str(route.tags[0])
        own = tag in hosted.services
        describe = OPERATIONS[f"{'own' if own else tag}_{route.name}"]
        for name in hosted.services if _SERVICE in route.path_format else [tag if own else None]:
            path = route.path_format.replace(_SERVICE, name or "")
            operation = describe(hosted, name) | {"tags": [name or "server"]}
            if _VERSION in path:
                parameters = [{"$ref": "#/components/parameters/version"}, *operation.get("parameters", [])]
                operation |= {"parameters": parameters}
            if _VERSION in path or path.endswith("/infer"):  # whose body may name a version, too
                missing = {"404": {"$ref": "#/components/responses/NotFound"}}
                operation |= {"responses": operation["responses"] | missing}
            if hosted.open_paths is not None and path not in hosted.open_paths:
                refused = {"401": {"$ref": "#/components/responses/Unauthenticated"}}
                operation |= {"security": [{_KEY: []}], "responses": operation["responses"] | refused}
            operation["operationId"] = _operation_id(tag, route, name, path)
            paths.setdefault(path, {})[_method(route).lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelport", "version": __version__, "description": _description(hosted.limits)},
        "servers": [{"url": "/"}],
        "tags": [{"name": "server"}, *({"name": name} for name in hosted.services)],
        "paths": paths,
        "components": _components(hosted),
    }


def _routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                yield route


def _method(route: APIRoute) -> str:
    (method,) = set(route.methods or ()) - {"HEAD"}
    return method


def _operation_id(tag: str, route: APIRoute, name: str | None, path: str) -> str:
    if name is None:
        return f"{tag}_{route.name}"
    own = "own" if path.startswith(f"/{name}/") else "root"
    version = "_version" if _VERSION in path else ""
    return f"{name}_{own if tag == name else tag}_{route.name}{version}"


def _components(hosted: Hosted) -> dict[str, Any]:
    keyed = hosted.open_paths is not None
    presentations = [service.task.presentation for service in hosted.services.values()]
    answers: list[type] = [one.prediction for one in presentations]
    answers += [one.legacy_answer for one in presentations if one.legacy_answer]
    return {
        "schemas": schemas.typed_schemas(dict.fromkeys([*ANSWER_TYPES, *answers])) | named_schemas(hosted),
        "parameters": {one["name"]: one for one in (_VERSION_PARAMETER, *_request_headers(hosted.limits))},
        "headers": _ANSWER_HEADERS,
        "responses": {
            error_name(error): {
                "description": f"{error.__doc__}",
                "content": {
                    "application/json": {"schema": schemas.ref("Error"), "example": error_example(error, hosted)}
                },
                "headers": {
                    name: {"$ref": f"#/components/headers/{name}"}
                    for name in (REQUEST_ID, *(("retry-after",) if error.retry_after_s else ()))
                },
            }
            for error in ERRORS
            if keyed or error is not UnauthenticatedError
        },
        **({"securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}}} if keyed else {}),
    }


def _request_headers(limits: Limits) -> Sequence[dict[str, Any]]:
    def header(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
        return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}

    return (
        header(
            TIMEOUT_HEADER,
            {"type": "integer", "minimum": 1},
            f"Milliseconds after which the answer is not wanted any more; at most {limits.timeout_s:g} s count.",
        ),
        header(REQUEST_ID, {"type": "string"}, "Up to 128 printable characters that logs and the answer repeat."),
        header("traceparent", {"type": "string"}, "W3C trace context, handed on to the models' server."),
        header("tracestate", {"type": "string"}, "Beside traceparent."),
        header(JSON_LENGTH_HEADER, {"type": "integer", "minimum": 0}, "Of the binary form: bytes that are JSON, or 0."),
    )


_VERSION_PARAMETER: dict[str, Any] = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": [MODEL_VERSION]},
    "description": "One of those that the metadata names.",
}
_ANSWER_HEADERS: dict[str, Any] = {
    REQUEST_ID: {"schema": {"type": "string"}, "description": "As it was sent, or made up; of every POST."},
    "server-timing": {"required": True, "schema": {"type": "string"}, "description": "Milliseconds by stage."},
    "retry-after": {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "Seconds to wait."},
}


def _description(limits: Limits) -> str:
    return f"""\
Images and series in, answers out. Errors are {{"error": "..."}} and say what to do. A path that is not listed,
and is not of the page that browsers get at /, is 404, another method 405 with Allow;
GET routes answer HEAD, too. Every path may end in a slash.
Bodies are read in the content codings gzip and deflate, and large answers are coded for those who accept it; the limits
count decoded bytes, and a body that unfolds to more than {MAX_RATIO} times its size is 413.

Options of a service stand in the query of every inference route, or in its body: as `parameters` of V1 and V2, beside
the image on the service's own route. One that is not known is 400.
V1 takes CloudEvents in structured and binary mode and answers in the same mode.

Images: {listed(limits.refused_formats)}.

Limits: body {limits.body_bytes} bytes, image {limits.pixels} pixels, {limits.instances} instances a request,
{limits.timeout_s:g} s, path and headers {MAX_HEAD_BYTES} bytes, JSON of {MAX_CONTAINERS} lists and objects and \
{MAX_VALUES} values."""
