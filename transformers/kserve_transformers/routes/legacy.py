"""The legacy routes: those of the projects that the services replaced, kept so that existing clients work."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.forms import read_image_form
from kserve_transformers.protocol.media import Body, declared_body
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, window_from_json
from kserve_transformers.protocol.v1 import parse_json
from kserve_transformers.routes.infer import Infer
from kserve_transformers.routes.table import Handler
from kserve_transformers.service import Service


async def post_image(infer: Infer, service: Service, request: Request) -> Response:
    """One image in any of the forms that are read; options stand beside it in the JSON form."""
    form = await read_image_form(request)
    task = service.task
    parameters = {name: form.extra[name] for name in task.parameters if name in form.extra}
    answered, headers = await infer(service, ServiceRequest((form.image,), parameters), request.headers)
    (prediction,) = task.predictions(answered)
    document = {"id": form.extra.get("id"), **prediction} if task.presentation.repeats_id else prediction
    return JSONResponse(document, headers=headers)


async def post_windows(infer: Infer, service: Service, request: Request) -> Response:
    """{"data": [[...], ...]}, one list of numbers a window."""
    declared_body(request.headers, (Body.JSON,))
    document = parse_json(await request.body())
    if not isinstance(document, dict) or not isinstance(document.get("data"), list) or not document["data"]:
        raise BadRequestError('the body must be {"data": [[...], ...]}: one list of numbers a window')
    windows = tuple(window_from_json(row) for row in document["data"])
    answered, headers = await infer(service, ServiceRequest(windows), request.headers)
    return JSONResponse({"predictions": service.task.predictions(answered)}, headers=headers)


_POST = {InstanceKind.IMAGE: post_image, InstanceKind.WINDOW: post_windows}


def legacy_handler(service: Service, infer: Infer) -> Handler:
    """What answers a POST to the service's legacy route."""
    return partial(_POST[service.task.kind], infer, service)


def legacy_router(service: Service, infer: Infer, prefix: str) -> APIRouter:
    """A service's legacy routes.

    Args:
        service: the service.
        infer: carries a request out.
        prefix: `/SERVICE`, or nothing where the server hosts one service alone.
    """
    router = APIRouter(prefix=prefix, tags=[service.name])
    path = service.task.presentation.route
    handler = legacy_handler(service, infer)

    async def post(request: Request) -> Response:
        return await handler(request)

    async def state() -> Response:
        reason = service.unready_reason
        document = {"service": service.name, "status": "not ready" if reason else "ready", "post": f"{prefix}{path}"}
        return JSONResponse(document | ({"reason": reason} if reason else {}), 503 if reason else 200)

    async def health() -> Response:
        reason = service.unready_reason
        return JSONResponse({"status": "unhealthy" if reason else "healthy"}, 503 if reason else 200)

    router.add_api_route(path, post, methods=["POST"])
    if path.endswith("/"):
        router.add_api_route(path.removesuffix("/"), post, methods=["POST"], include_in_schema=False)
    router.add_api_route("/", state, methods=["GET"])
    if prefix:
        router.add_api_route("", state, methods=["GET"], include_in_schema=False)
    router.add_api_route("/health", health, methods=["GET"])
    return router
