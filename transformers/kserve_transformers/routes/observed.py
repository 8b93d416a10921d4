"""Every POST is counted and logged, however it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.observe import NO_SERVICE, REQUEST_ID, begin, record
from kserve_transformers.routes.table import Target, keep_target

KEY_NAME = "modelport.key"  # in the scope of a request whose caller has one


class Observed:
    """ASGI middleware around everything else.

    It resolves each request's target once, for all that comes after.

    Args:
        app: what is observed.
        targets: by path; all others count as the service "none".
    """

    def __init__(self, app: ASGIApp, targets: Mapping[str, Target]) -> None:
        self._app = app
        self._targets = targets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; count it when its answer starts."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        target = keep_target(scope, self._targets)
        request_id, started = begin(Headers(scope=scope)), time.perf_counter()
        outcome = "gone"  # the caller left before there was an answer

        async def observed(message: Message) -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                outcome = str(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            service = target.service.name if target.service else NO_SERVICE
            record(service, target.protocol, outcome, time.perf_counter() - started, request_id, scope.get(KEY_NAME))
