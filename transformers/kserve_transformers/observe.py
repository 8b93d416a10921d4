"""Observes every request: metrics, a line in the log, and an id that is returned with the answer."""

from __future__ import annotations

import contextvars
import logging
import re
import uuid
from collections.abc import Mapping

from kserve_transformers.metrics import REQUESTS, SECONDS
from kserve_transformers.tracing import handed_on

logger = logging.getLogger("kserve_transformers.requests")

REQUEST_ID = "x-request-id"
_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")
# Handed on to Triton where they are well-formed: the W3C trace context (Trace Context 1, section 3).
_FORWARDED = {
    "traceparent": re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(r"[\x20-\x7e]{1,512}"),
}
_forwarded: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("forwarded", default={})  # noqa: B039


def forwarded_headers() -> dict[str, str]:
    """The headers that the running request hands on to Triton."""
    return handed_on(dict(_forwarded.get()))


def begin(headers: Mapping[str, str]) -> str:
    """Take over a request's trace context; returns its id, made up where the caller sent none that can be logged."""
    request_id = headers.get(REQUEST_ID, "")
    if not _SAFE_ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    trace = {name: headers[name] for name, form in _FORWARDED.items() if form.fullmatch(headers.get(name, ""))}
    _forwarded.set(trace | {REQUEST_ID: request_id})
    return request_id


def record(service: str, protocol: str, outcome: str, seconds: float, request_id: str, key: str | None = None) -> None:
    """Count a request that ended, and log it, with the name of its API key where it has one."""
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
                **({"key": key} if key else {}),
            }
        },
    )
