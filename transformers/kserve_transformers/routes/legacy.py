"""The legacy routes: those of the projects that the services replaced, kept so that existing clients work."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.forms import read_image_form
from kserve_transformers.protocol.media import Body, declared_body
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, window_from_json
from kserve_transformers.protocol.v1 import parse_json
from kserve_transformers.routes.infer import Infer, with_query
from kserve_transformers.routes.table import Handler
from kserve_transformers.service import Service
from kserve_transformers.tasks.parameters import options_beside_image


async def post_image(infer: Infer, service: Service, request: Request) -> Response:
    """One image in any of the forms that are read; options stand beside it, or in the query."""
    form = await read_image_form(request)
    task = service.task
    options = options_beside_image(service.name, task.parameters, form.values, form.texts)
    parsed = with_query(service, request, ServiceRequest((form.image,), options))
    answered, headers = await infer(service, parsed, request.headers)
    (prediction,) = task.predictions(answered)
    request_id = {**form.texts, **form.values}.get("id")
    document = {"id": request_id, **prediction} if task.presentation.repeats_id else prediction
    return JSONResponse(document, headers=headers)


async def post_windows(infer: Infer, service: Service, request: Request) -> Response:
    """{"data": [[...], ...]}, one list of numbers a window; options stand beside it, or in the query."""
    declared_body(request.headers, (Body.JSON,))
    document = parse_json(await request.body(), service.task.kind)
    if not isinstance(document, dict) or not isinstance(document.get("data"), list) or not document["data"]:
        raise BadRequestError('the body must be {"data": [[...], ...]}: one list of numbers a window')
    windows = tuple(window_from_json(row) for row in document.pop("data"))
    options = options_beside_image(service.name, service.task.parameters, document, {})
    parsed = with_query(service, request, ServiceRequest(windows, options))
    answered, headers = await infer(service, parsed, request.headers)
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

    welcome = service.task.presentation.welcome
    named = {**({"message": welcome} if welcome else {}), "service": service.name}

    async def index() -> dict[str, Any]:
        return {"status": "alive", **named, "post": path}

    async def state() -> Response:
        reason = service.unready_reason
        document = {**named, "status": "not ready" if reason else "ready", "post": f"{prefix}{path}"}
        return JSONResponse(document | ({"reason": reason} if reason else {}), 503 if reason else 200)

    async def health() -> Response:
        reason = service.unready_reason
        return JSONResponse({"status": "unhealthy" if reason else "healthy"}, 503 if reason else 200)

    for route, answers, method in ((path, post, "POST"), ("/", state if prefix else index, "GET")):
        router.add_api_route(route, answers, methods=[method])
        if (prefix + route).removesuffix("/") not in ("", prefix + route):
            router.add_api_route(route.removesuffix("/"), answers, methods=[method], include_in_schema=False)
    router.add_api_route("/health", health, methods=["GET"])
    return router
