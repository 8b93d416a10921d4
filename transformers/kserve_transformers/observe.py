"""Observes every request: metrics, a line in the log, and an id that is returned with the answer."""

import contextvars
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kserve_transformers.metrics import REQUESTS, SECONDS
from kserve_transformers.tracing import handed_on

logger = logging.getLogger("kserve_transformers.requests")

REQUEST_ID = "x-request-id"
NO_SERVICE = "none"  # of requests to paths and names that are no service's: callers cannot make up labels
_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")
# Handed on to Triton where they are well-formed: the W3C trace context (Trace Context 1, section 3).
_FORWARDED = {
    "traceparent": re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(r"[\x20-\x7e]{1,512}"),
}


@dataclass
class Exchange:
    """A request on its way; what a record needs of it is added where it becomes known."""

    request_id: str = ""  # the caller's, or made up
    trace: Mapping[str, str] = field(default_factory=dict)  # the headers of its trace context
    kept: bool = False  # whether the rest is to be added
    began: float = field(default_factory=time.time)  # seconds since 1970
    instances: Sequence[Any] = ()  # encoded images, or windows (float32 [L])
    parameters: Mapping[str, Any] = field(default_factory=dict)  # options that the request named
    # of each instance, what is recorded beside its hash; empty where nothing was measured
    measured: Sequence[Mapping[str, Any]] = ()
    # model, release: which model answered
    model: str | None = None
    release: str | None = None
    served: str | None = None  # its name in Triton, and of its folder
    # makes the answer in JSON, one for each instance; None while there is no answer
    predictions: Callable[[], Sequence[Any]] | None = None


SUCCESS = ("200", "OK")  # outcomes with an answer


@dataclass(frozen=True)
class Ended:
    """How a request ended. The outcome is an HTTP status, a gRPC code, or gone."""

    service: str
    protocol: str
    outcome: str
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the caller got an answer."""
        return self.outcome in SUCCESS


class Keeper(Protocol):
    """Keeps requests that ended."""

    def wants(self, request_id: str) -> bool:
        """Whether this request is to be kept."""

    def keep(self, exchange: Exchange, ended: Ended) -> None:
        """Keep a request that was wanted; returns at once, and raises nothing."""


_NONE = Exchange()
_exchange: contextvars.ContextVar[Exchange] = contextvars.ContextVar("exchange", default=_NONE)
_keeper: Keeper | None = None


def keep_requests(keeper: Keeper | None) -> None:
    """Hand ended requests of this process's services to a keeper; None: to no one."""
    global _keeper
    _keeper = keeper


def forwarded_headers() -> dict[str, str]:
    """The headers that the running request hands on to Triton."""
    exchange = _exchange.get()
    return handed_on({**exchange.trace, REQUEST_ID: exchange.request_id} if exchange.request_id else {})


def kept_exchange() -> Exchange | None:
    """The running request where it is kept."""
    exchange = _exchange.get()
    return exchange if exchange.kept else None


def begin(headers: Mapping[str, str]) -> str:
    """Take over a request's trace context; returns its id, made up where the caller sent none that can be logged."""
    request_id = headers.get(REQUEST_ID, "")
    if not _SAFE_ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    trace = {name: headers[name] for name, form in _FORWARDED.items() if form.fullmatch(headers.get(name, ""))}
    _exchange.set(Exchange(request_id, trace, _keeper is not None and _keeper.wants(request_id)))
    return request_id


def record(service: str, protocol: str, outcome: str, seconds: float, request_id: str, key: str | None = None) -> None:
    """Count a request that ended, and log it, with the name of its API key where it has one."""
    REQUESTS.labels(service, protocol, outcome).inc()
    SECONDS.labels(service, protocol).observe(seconds)
    exchange = kept_exchange()
    if exchange is not None and _keeper is not None and service != NO_SERVICE:
        _keeper.keep(exchange, Ended(service, protocol, outcome, seconds))
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
