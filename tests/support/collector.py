"""OTLP collectors for tests: the protocol's own gRPC service, or HTTP; and servers that only look like one."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response


@dataclass(frozen=True)
class Received:
    """A span as it came."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, Any]


def spans_of(request: pb.ExportTraceServiceRequest) -> Iterator[Received]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                ids = (field.hex() for field in (span.trace_id, span.span_id, span.parent_span_id))
                yield Received(service, span.name, *ids, span.status.code == 2, _values(span.attributes))


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextlib.contextmanager
def grpc_collector() -> Iterator[tuple[str, list[Received]]]:
    """Its address, and the spans that it has received."""
    received: list[Received] = []

    class Servicer(services.TraceServiceServicer):  # type: ignore[misc]
        def Export(self, request: Any, context: Any) -> Any:
            received.extend(spans_of(request))
            return pb.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    services.add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", received
    server.stop(None)


@contextlib.contextmanager
def http_collector() -> Iterator[tuple[str, list[Received]]]:
    """Its address, and the spans that it has received."""
    received: list[Received] = []

    def export(request: Request) -> Response:
        received.extend(spans_of(pb.ExportTraceServiceRequest.FromString(request.data)))
        return Response()

    with HTTPServer("127.0.0.1", threaded=True) as server:
        server.expect_request("/v1/traces").respond_with_handler(export)
        yield server.url_for("/v1/traces"), received


@contextlib.contextmanager
def hanging_collector() -> Iterator[tuple[str, list[Received]]]:
    """One that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces", []


@contextlib.contextmanager
def dead_collector() -> Iterator[tuple[str, list[Received]]]:
    """None at all: the port takes no connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}", []
