"""KServe's V1 protocol over REST: the SDK's own routes parse JSON without a limit, and fail on CloudEvents."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from kserve.errors import ModelNotReady
from kserve.protocol.dataplane import DataPlane


def v1_router(dataplane: DataPlane) -> APIRouter:
    """All V1 routes; there is no :explain."""
    router = APIRouter(prefix="/v1", tags=["V1"])

    @router.get("/models")
    async def models() -> dict[str, list[str]]:
        return {"models": sorted(dataplane.model_registry.get_models())}

    @router.get("/models/{service}")
    async def model_ready(service: str) -> dict[str, Any]:
        if not await dataplane.model_ready(service):
            raise ModelNotReady(service)
        return {"name": service, "ready": True}

    @router.post("/models/{service}:predict")
    async def predict(service: str, request: Request) -> Response:
        if not await dataplane.model_ready(service, True):
            raise ModelNotReady(service)
        predictions, headers = await dataplane.infer(service, await request.body(), dict(request.headers))
        return Response(orjson.dumps(predictions), headers=headers, media_type="application/json")

    return router
