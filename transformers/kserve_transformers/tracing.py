"""Traces by OpenTelemetry: a span for each request, and below it one for each step, sent to a collector by OTLP.

Off unless `start` was called: nothing of OpenTelemetry is imported then, and a span costs one comparison. The standard
variables OTEL_* set what --trace does not: resource, sampler, headers, certificates, timeouts, queue.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kserve_transformers.metrics import SPANS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

Attributes = Mapping[str, str | int] | Mapping[str, str] | Mapping[str, int]

_HTTP_PORT = 4318  # of OTLP; the port of gRPC is 4317
_PATH = "/v1/traces"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_QUEUE_SIZE = 2048  # OpenTelemetry's default
STOP_S = 3.0  # for what is still queued when the server ends

_tracer: Tracer | None = None
_provider: TracerProvider | None = None


@dataclass(frozen=True)
class Collector:
    """Where spans are sent. The URL has its scheme, and for HTTP the path; `http`: by HTTP instead of gRPC."""

    url: str
    http: bool

    @classmethod
    def parse(cls, text: str) -> Collector:
        """Read an address: http://HOST:4317 and HOST:PORT mean gRPC, port 4318 or a path mean HTTP.

        OTEL_EXPORTER_OTLP_PROTOCOL decides where it is set: grpc or http/protobuf.

        Raises:
            ValueError: it is malformed.
        """
        parts = urlsplit(text if "//" in text else f"http://{text}")
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme not in ("http", "https") or not (parts.hostname and port) or parts.query or parts.username:
            raise ValueError(
                f"{text!r} is no address of a collector: write http://HOST:4317 (gRPC) or http://HOST:4318 (HTTP)"
            )
        protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), None)
        if protocol not in (None, "grpc", "http/protobuf"):
            raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: write grpc or http/protobuf")
        path = parts.path.rstrip("/")
        http = port == _HTTP_PORT or bool(path) if protocol is None else protocol != "grpc"
        return cls(f"{parts.scheme}://{parts.netloc}{(path or _PATH) if http else ''}", http)


def start(collector: Collector) -> None:
    """Trace from now on.

    Raises:
        ValueError: a variable OTEL_* is not valid.
    """
    use(_processor(_exporter(collector)))


def use(processor: SpanProcessor) -> None:
    """Trace from now on, to a processor of spans."""
    global _tracer, _provider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": "modelport-transformer"})
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(processor)
    _tracer = _provider.get_tracer("kserve_transformers")


def stop() -> None:
    """Send what is queued, for `STOP_S` at most, and trace no more."""
    global _tracer
    _tracer = None
    if _provider is not None:
        thread = threading.Thread(target=_provider.shutdown, daemon=True)
        thread.start()
        thread.join(STOP_S)


@contextlib.contextmanager
def request(name: str, headers: Mapping[str, str], attributes: Attributes) -> Iterator[None]:
    """The span of a whole request, below the caller's where its headers have a trace context.

    Args:
        name: of the span: one of few.
        headers: of the request, names in lower case.
        attributes: of the span.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    with _tracer.start_as_current_span(
        name,
        extract(headers),
        SpanKind.SERVER,
        dict(attributes),
        record_exception=False,
        set_status_on_exception=False,  # most errors are the caller's own
    ):
        yield


@contextlib.contextmanager
def span(name: str, attributes: Attributes | None = None, client: bool = False) -> Iterator[None]:
    """The span of a step of the running request; an error ends it as failed.

    Args:
        name: of the span: one of few.
        attributes: of the span.
        client: whether another server does the work.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
    with _tracer.start_as_current_span(name, None, kind, dict(attributes or {}), record_exception=False):
        yield


def note(attributes: Attributes, failed: str | None = None) -> None:
    """Add attributes to the span that is under way; `failed` says why it failed."""
    if _tracer is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span

        get_current_span().set_attributes(dict(attributes))
        if failed is not None:
            get_current_span().set_status(Status(StatusCode.ERROR, failed))


def handed_on(headers: dict[str, str]) -> dict[str, str]:
    """The headers with the trace context of the span that is under way, for Triton.

    Without it where the trace is not sampled: Triton traces whatever has a context.
    """
    if _tracer is None:
        return headers
    from opentelemetry.propagate import inject
    from opentelemetry.trace import get_current_span

    if get_current_span().get_span_context().trace_flags.sampled:
        inject(headers)
        return headers
    return {name: value for name, value in headers.items() if name not in ("traceparent", "tracestate")}


def _exporter(collector: Collector) -> SpanExporter:
    if collector.http:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HTTPExporter

        return HTTPExporter(endpoint=collector.url)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GRPCExporter

    return GRPCExporter(endpoint=collector.url)


def _processor(exporter: SpanExporter) -> SpanProcessor:
    """Sends spans in batches from a thread: a request never waits, and what cannot be sent is counted."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log each failure
    size = _number("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE_SIZE)
    lock = threading.Lock()
    pending = 0

    def count(outcome: str | None, spans: int) -> None:
        nonlocal pending
        with lock:
            pending += -spans if outcome else spans
        if outcome:
            SPANS.labels(outcome).inc(spans)

    class Counted(SpanExporter):
        """Passes spans on, and counts what becomes of them."""

        working = True

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = SpanExportResult.FAILURE
            try:
                result = exporter.export(spans)
            finally:
                sent = result is SpanExportResult.SUCCESS
                count("sent" if sent else "failed", len(spans))
                if sent is not self.working:
                    self.working = sent
                    logger.warning("spans are sent again" if sent else "spans cannot be sent, and are lost")
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    class Bounded(BatchSpanProcessor):
        """Takes no more spans while as many as the queue holds wait or are being sent."""

        def on_end(self, span: ReadableSpan) -> None:
            if span.context is None or not span.context.trace_flags.sampled:
                return
            if pending >= size:
                SPANS.labels("dropped").inc()
                return
            count(None, 1)
            super().on_end(span)

    for outcome in ("sent", "failed", "dropped"):
        SPANS.labels(outcome)
    return Bounded(Counted(), max_queue_size=size)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isdecimal() and int(text)):
        raise ValueError(f"{name} is {text!r}: write a positive number")
    return int(text)
