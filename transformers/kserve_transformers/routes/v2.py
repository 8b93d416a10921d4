"""The Open Inference Protocol (V2) over REST."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from kserve_transformers import metadata
from kserve_transformers.errors import NotReadyError
from kserve_transformers.health import Health
from kserve_transformers.protocol.media import Body, declared_body
from kserve_transformers.protocol.v2 import (
    JSON_LENGTH_HEADER,
    check_version,
    parse_infer_request,
    render_infer_response,
)
from kserve_transformers.routes.infer import Infer, with_query
from kserve_transformers.service import Service, Services, find_service


async def infer_v2(infer: Infer, service: Service, request: Request) -> Response:
    """Infer; the answer is in JSON, or in the binary form where the caller wants it."""
    json_length = request.headers.get(JSON_LENGTH_HEADER)
    if json_length is None:
        declared_body(request.headers, (Body.JSON,))
    parsed = parse_infer_request(service.task.kind, await request.body(), json_length, service.name)
    answered, headers = await infer(service, with_query(service, request, parsed.request), request.headers)
    tensors = service.task.presented_tensors(answered)
    body, form = render_infer_response(service.name, parsed, tensors, answered.parameters)
    return Response(body, headers={**headers, **form})


def v2_router(services: Services, infer: Infer, health: Health) -> APIRouter:
    """All V2 routes."""
    router = APIRouter(prefix="/v2", tags=["V2"])

    @router.get("")
    async def server_metadata() -> dict[str, Any]:
        return metadata.server_metadata()

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready")
    async def ready() -> Response:
        return JSONResponse(health.report(), 200 if health.ready else 503)

    @router.get("/models")
    async def models() -> dict[str, list[str]]:
        return {"models": sorted(services)}

    def find(service: str, version: str) -> Service:
        found = find_service(services, service)
        check_version(version)
        return found

    async def model_metadata(service: str, version: str = "") -> dict[str, Any]:
        found = find(service, version)
        return {**metadata.service_metadata(found), "parameters": {"models": health.models(found)}}

    async def model_config(service: str, version: str = "") -> dict[str, Any]:
        return metadata.service_config(find(service, version))

    async def model_ready(service: str, version: str = "") -> dict[str, Any]:
        reason = find(service, version).unready_reason
        if reason is not None:
            raise NotReadyError(f"{service} is not ready: {reason}")
        return {"name": service, "ready": True}

    async def post_infer(service: str, request: Request, version: str = "") -> Response:
        return await infer_v2(infer, find(service, version), request)

    for base in ("/models/{service:service}", "/models/{service:service}/versions/{version}"):
        router.add_api_route(base, model_metadata, methods=["GET"])
        router.add_api_route(f"{base}/config", model_config, methods=["GET"])
        router.add_api_route(f"{base}/ready", model_ready, methods=["GET"])
        router.add_api_route(f"{base}/infer", post_infer, methods=["POST"], name="infer")
    return router
