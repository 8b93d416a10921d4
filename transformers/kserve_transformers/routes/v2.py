"""The Open Inference Protocol (V2) over REST: KServe's SDK decodes binary pictures as text, so these are our own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from kserve.protocol.dataplane import DataPlane

from kserve_transformers.errors import NotReadyError
from kserve_transformers.health import Health
from kserve_transformers.protocol.media import Body, declared_body
from kserve_transformers.protocol.v2 import JSON_LENGTH_HEADER, parse_infer_request, render_infer_response
from kserve_transformers.services.transformer import Transformer


def v2_router(dataplane: DataPlane, health: Health) -> APIRouter:
    """All V2 routes."""
    router = APIRouter(prefix="/v2", tags=["V2"])

    @router.get("")
    async def server_metadata() -> dict[str, Any]:
        return {**dataplane.metadata(), "name": "modelport", "extensions": ["binary_tensor_data"]}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready")
    async def ready() -> Response:
        return JSONResponse(health.report(), 200 if health.ready else 503)

    @router.get("/models")
    async def models() -> dict[str, list[str]]:
        return {"models": sorted(dataplane.model_registry.get_models())}

    @router.get("/models/{service}")
    async def model_metadata(service: str) -> dict[str, Any]:
        transformer: Transformer[Any, Any, Any] = dataplane.get_model_from_registry(service)
        return {
            "name": service,
            "versions": ["1"],
            "platform": "kserve_transformers",
            "inputs": transformer.get_input_types(),
            "outputs": transformer.get_output_types(),
            "parameters": {"models": health.models(transformer)},
        }

    @router.get("/models/{service}/ready")
    async def model_ready(service: str) -> dict[str, Any]:
        transformer: Transformer[Any, Any, Any] = dataplane.get_model_from_registry(service)
        if transformer.unready_reason is not None:
            raise NotReadyError(f"{service} is not ready: {transformer.unready_reason}")
        return {"name": service, "ready": True}

    @router.post("/models/{service}/infer")
    async def infer(service: str, request: Request) -> Response:
        transformer: Transformer[Any, Any, Any] = dataplane.get_model_from_registry(service)
        declared_body(request.headers, (Body.JSON,))
        parsed = parse_infer_request(transformer.kind, await request.body(), request.headers.get(JSON_LENGTH_HEADER))
        answered, headers = await dataplane.infer(service, parsed.request, dict(request.headers))
        parameters = {"warning": answered.warning} if answered.warning else {}
        body, form = render_infer_response(service, parsed, transformer.tensors(answered), parameters)
        return Response(body, headers={**headers, **form})

    return router
