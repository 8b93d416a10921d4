"""Inference without FastAPI's way to a handler, which takes a tenth of a small request's processor time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def direct_routes(routers: Iterable[APIRouter]) -> Iterator[Route]:
    """The routes that take a POST, to be asked before all others: a response for the request and its path's parameters.

    The routers' own stay, for the OpenAPI document.
    """
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.methods == {"POST"}:
                yield _direct(route)


def _direct(route: APIRoute) -> Route:
    async def answer(request: Request) -> Response:
        response: Response = await route.endpoint(request=request, **request.path_params)
        return response

    return Route(route.path, answer, methods=["POST"])
