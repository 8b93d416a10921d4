"""Every POST is counted and logged, however it ends."""

import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.observe import NO_SERVICE, REQUEST_ID, begin, record
from kserve_transformers.routes.table import Target, keep_target
from kserve_transformers.tracing import note, request

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
        headers = Headers(scope=scope)
        request_id, started = begin(headers), time.perf_counter()
        outcome = "gone"  # the caller left before there was an answer

        async def observed(message: Message) -> None:
            nonlocal outcome
            if message["type"] == "http.response.start":
                outcome = str(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        service = target.service.name if target.service else NO_SERVICE
        told = {"modelport.service": service, "modelport.protocol": target.protocol, "modelport.request_id": request_id}
        try:
            with request(f"{target.protocol} {service}", headers, {**told, "url.path": scope["path"]}):
                try:
                    await self._app(scope, receive, observed)
                finally:
                    status = {"http.response.status_code": int(outcome)} if outcome.isdecimal() else {}
                    note(status, outcome if outcome == "gone" or outcome >= "500" else None)
        finally:
            record(service, target.protocol, outcome, time.perf_counter() - started, request_id, scope.get(KEY_NAME))
