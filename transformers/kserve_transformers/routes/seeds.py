"""The routes of the five small projects that the services once were: their users' programs go on working."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from kserve.protocol.dataplane import DataPlane

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.forms import read_picture_form
from kserve_transformers.protocol.media import Body, declared_body
from kserve_transformers.protocol.requests import ServiceRequest, window_from_json
from kserve_transformers.protocol.v1 import parse_json
from kserve_transformers.services.detector import Detector
from kserve_transformers.services.predictions import Prediction
from kserve_transformers.services.transformer import Transformer, with_warning

# Infers and gives the JSON of all instances, and the answer's headers.
Infer = Callable[[ServiceRequest, Request], Awaitable[tuple[Sequence[Prediction], dict[str, str]]]]
Handler = Callable[[Infer, Request], Awaitable[Response]]


async def _detect(infer: Infer, request: Request) -> Response:
    form = await read_picture_form(request)
    parameters = {name: form.extra[name] for name in Detector.parameters if name in form.extra}
    (found,), headers = await infer(ServiceRequest((form.picture,), parameters), request)
    return JSONResponse({"id": form.extra.get("id"), **found}, headers=headers)


async def _look(infer: Infer, request: Request) -> Response:
    form = await read_picture_form(request)
    (prediction,), headers = await infer(ServiceRequest((form.picture,)), request)
    return JSONResponse(prediction, headers=headers)


async def _watch(infer: Infer, request: Request) -> Response:
    declared_body(request.headers, (Body.JSON,))
    document = parse_json(await request.body())
    if not isinstance(document, dict) or not isinstance(document.get("data"), list) or not document["data"]:
        raise BadRequestError('the body must be {"data": [[...], ...]}: one list of numbers a window')
    windows = tuple(window_from_json(row) for row in document["data"])
    predictions, headers = await infer(ServiceRequest(windows), request)
    return JSONResponse({"predictions": predictions}, headers=headers)


# Services whose own route takes an "id" and answers it.
REPEATS_ID = ("detector",)
# Service to its route and what answers there.
_POST: Mapping[str, tuple[str, Handler]] = {
    "detector": ("/api/", _detect),
    "classifier": ("/classify", _look),
    "cars": ("/predict", _look),
    "digits": ("/predict", _look),
    "anomaly": ("/predict", _watch),
}


def seed_routes(service: str) -> str:
    """The route, below /SERVICE, that a service's users post to."""
    return _POST[service][0]


def seed_router(transformer: Transformer[Any, Any, Any], dataplane: DataPlane, prefix: str) -> APIRouter:
    """A service's own routes.

    Args:
        transformer: the service.
        dataplane: of KServe's server.
        prefix: `/SERVICE`, or nothing where the server hosts one service alone.
    """
    name = transformer.name
    router = APIRouter(prefix=prefix, tags=[name])
    path, handler = _POST[name]

    async def infer(service_request: ServiceRequest, request: Request) -> tuple[Sequence[Prediction], dict[str, str]]:
        answered, headers = await dataplane.infer(name, service_request, dict(request.headers))
        return with_warning(transformer.predictions(answered), answered.warning), headers

    async def post(request: Request) -> Response:
        return await handler(infer, request)

    async def state() -> Response:
        reason = transformer.unready_reason
        document = {"service": name, "status": "not ready" if reason else "ready", "post": f"{prefix}{path}"}
        return JSONResponse(document | ({"reason": reason} if reason else {}), 503 if reason else 200)

    async def health() -> Response:
        reason = transformer.unready_reason
        return JSONResponse({"status": "unhealthy" if reason else "healthy"}, 503 if reason else 200)

    router.add_api_route(path, post, methods=["POST"])
    if path.endswith("/"):
        router.add_api_route(path.removesuffix("/"), post, methods=["POST"], include_in_schema=False)
    router.add_api_route("/", state, methods=["GET"])
    if prefix:
        router.add_api_route("", state, methods=["GET"], include_in_schema=False)
    router.add_api_route("/health", health, methods=["GET"])
    return router
