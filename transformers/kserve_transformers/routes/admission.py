"""Requests that no model can answer in time are refused before their bodies are read."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kserve_transformers.errors import ServingError
from kserve_transformers.routes.errors import answer
from kserve_transformers.routes.table import kept_target


class Admission:
    """ASGI middleware that turns a request away that no model of its service can answer in time.

    Args:
        app: what is protected.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        target = kept_target(scope)
        if target is not None and target.service is not None:
            try:
                target.service.check_room(target.service.deadline(Headers(scope=scope)))
            except ServingError as error:
                await answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
