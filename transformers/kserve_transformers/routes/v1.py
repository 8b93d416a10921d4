"""KServe's V1 protocol over REST."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kserve_transformers.errors import NotReadyError
from kserve_transformers.protocol.events import answer_event, event_data
from kserve_transformers.protocol.v1 import parse_v1
from kserve_transformers.routes.infer import Infer, with_query
from kserve_transformers.service import Service, Services, find_service


async def predict_v1(infer: Infer, service: Service, request: Request) -> Response:
    """Infer; the service must be ready before the body is read. A CloudEvent is answered with one."""
    _check_ready(service)
    data, described = event_data(await request.body(), request.headers)
    parsed = with_query(service, request, parse_v1(service.task.kind, data, described))
    answered, headers = await infer(service, parsed, request.headers)
    document = {"predictions": service.task.predictions(answered)}
    event = answer_event(service.name, document, request.headers)
    if event is not None:
        return Response(event[1], headers={**headers, **event[0]})
    return Response(orjson.dumps(document), headers=headers, media_type="application/json")


def v1_router(services: Services, infer: Infer) -> APIRouter:
    """All V1 routes; there is no :explain."""
    router = APIRouter(prefix="/v1", tags=["V1"])

    @router.get("/models")
    async def models() -> dict[str, list[str]]:
        return {"models": sorted(services)}

    @router.get("/models/{service:service}")
    async def model_ready(service: str) -> dict[str, Any]:
        _check_ready(find_service(services, service))
        return {"name": service, "ready": True}

    @router.post("/models/{service:service}:predict")
    async def predict(service: str, request: Request) -> Response:
        return await predict_v1(infer, find_service(services, service), request)

    return router


def _check_ready(service: Service) -> None:
    if service.unready_reason is not None:
        raise NotReadyError("the service is not ready: try again shortly")
