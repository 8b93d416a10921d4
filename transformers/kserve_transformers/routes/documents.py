"""/openapi.json: the API document, of which the API reference is made in the browser."""

from collections.abc import Sequence
from functools import lru_cache

import orjson
from fastapi import APIRouter
from fastapi.responses import Response
from fastapi.routing import APIRoute

from kserve_transformers.openapi.document import build_document
from kserve_transformers.openapi.operations import Hosted
from kserve_transformers.openapi.schemas import window_length


def answer_head(router: APIRouter) -> None:
    """Answer HEAD where GET is answered, as HTTP requires of every server; uvicorn leaves the body out."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def documents_router(routers: Sequence[APIRouter], hosted: Hosted) -> APIRouter:
    """The route of the API document, which describes all routes.

    Args:
        routers: all others.
        hosted: services and limits.
    """
    router = APIRouter(tags=["server"])

    @lru_cache(maxsize=2)
    def built(window_lengths: tuple[int | None, ...]) -> bytes:
        """What models say of themselves is all that may change."""
        return orjson.dumps(build_document((*routers, router), hosted))

    @router.get("/openapi.json")
    async def document() -> Response:
        lengths = tuple(window_length(service) for service in hosted.services.values())
        return Response(built(lengths), media_type="application/json")

    return router
