"""/openapi.json, and the API reference at /docs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import orjson
from fastapi import APIRouter
from fastapi.responses import Response
from fastapi.routing import APIRoute

from kserve_transformers.openapi.document import build_document
from kserve_transformers.openapi.operations import Hosted
from kserve_transformers.openapi.page import SECURITY_POLICY, render_page
from kserve_transformers.openapi.schemas import window_length


def answer_head(router: APIRouter) -> None:
    """Answer HEAD where GET is answered, as HTTP requires of every server; uvicorn leaves the body out."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def documents_router(routers: Sequence[APIRouter], hosted: Hosted, page: bool) -> APIRouter:
    """The routes of the API document and the API reference, which describe all routes.

    Args:
        routers: all others.
        hosted: services and limits.
        page: whether there is an API reference.
    """
    router = APIRouter(tags=["server"])

    @lru_cache(maxsize=2)
    def built(window_lengths: tuple[int | None, ...]) -> tuple[bytes, bytes]:
        """Both forms; what models say of themselves is all that may change."""
        made = build_document((*routers, router), hosted)
        return orjson.dumps(made), render_page(made).encode()

    def current() -> tuple[bytes, bytes]:
        return built(tuple(window_length(service) for service in hosted.services.values()))

    @router.get("/openapi.json")
    async def document() -> Response:
        return Response(current()[0], media_type="application/json")

    if page:

        @router.get("/docs")
        async def docs() -> Response:
            return Response(current()[1], headers={"content-security-policy": SECURITY_POLICY}, media_type="text/html")

    return router
