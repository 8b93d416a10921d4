"""What is seen of every request from outside: metrics, one line in the log, and an id that goes with the answer."""

from __future__ import annotations

import contextvars
import logging
import re
import time
import uuid
from collections.abc import Collection, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.metrics import REQUESTS, SECONDS

logger = logging.getLogger("kserve_transformers.requests")

REQUEST_ID = "x-request-id"
_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")
# Handed on to Triton where they are well-formed: the W3C trace context (Trace Context 1, section 3).
_FORWARDED = {
    "traceparent": re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(r"[\x20-\x7e]{1,512}"),
}
_ROUTES = (
    ("v1", re.compile(r"/v1/models/([^/:]+):predict")),
    ("v2", re.compile(r"/v2/models/([^/]+)/infer")),
    ("own", re.compile(r"/([^/]+)/(?:api/?|classify|predict)")),
)

_forwarded: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("forwarded", default={})  # noqa: B039


def forwarded_headers() -> dict[str, str]:
    """The headers that the running request hands on to Triton."""
    return dict(_forwarded.get())


def begin(headers: Mapping[str, str]) -> str:
    """Take over a request's trace context; returns its id, made up where the caller sent none that can be logged."""
    request_id = headers.get(REQUEST_ID, "")
    if not _SAFE_ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    trace = {name: headers[name] for name, form in _FORWARDED.items() if form.fullmatch(headers.get(name, ""))}
    _forwarded.set(trace | {REQUEST_ID: request_id})
    return request_id


def record(service: str, protocol: str, outcome: str, seconds: float, request_id: str) -> None:
    """Count a request that ended, and log it."""
    REQUESTS.labels(service, protocol, outcome).inc()
    SECONDS.labels(service, protocol).observe(seconds)
    logger.info(
        "request",
        extra={
            "fields": {
                "id": request_id,
                "service": service,
                "protocol": protocol,
                "outcome": outcome,
                "ms": round(seconds * 1000, 1),
            }
        },
    )


def route(path: str, services: Collection[str]) -> tuple[str, str]:
    """Which service's inference a POST to a path asks for, "none" where it is none of these, and by which protocol."""
    for protocol, pattern in _ROUTES:
        match = pattern.fullmatch(path)
        if match:
            return (match[1] if match[1] in services else "none"), protocol
    only = next(iter(services)) if len(services) == 1 else "none"
    return only, "own"


class Observed:
    """ASGI middleware around everything else.

    Args:
        app: what is observed.
        services: names that may stand in a label; others are "none", so that callers cannot make up labels.
    """

    def __init__(self, app: ASGIApp, services: Collection[str]) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; count it when its answer starts."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
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
            record(*route(scope["path"], self._services), outcome, time.perf_counter() - started, request_id)
