"""V2 over gRPC: KServe's server, with our codec, our errors and our limit on a message's size."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf.message import DecodeError
from grpc import HandlerCallDetails, RpcMethodHandler, ServicerContext, StatusCode, aio, unary_unary_rpc_method_handler
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer, to_headers
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from kserve_transformers.body_limit import BODIES_HELD
from kserve_transformers.deadline import TIMEOUT_HEADER
from kserve_transformers.errors import BadRequestError, BusyError
from kserve_transformers.health import Health
from kserve_transformers.metadata import server_metadata, service_metadata
from kserve_transformers.observe import begin, record
from kserve_transformers.protocol.grpc import parse_infer_request, render_infer_response
from kserve_transformers.routes.errors import INTERNAL, message
from kserve_transformers.sdk.errors import translate
from kserve_transformers.sdk.model import infer_through
from kserve_transformers.service import Services, find_service

logger = logging.getLogger(__name__)

# Room for what stands around an image in a message.
_ENVELOPE_BYTES = 64 * 1024
# gRPC reads a whole message before we see it: this many at most at once.
_MAX_CALLS = 64


class Servicer(InferenceServicer):  # type: ignore[misc]
    """The V2 methods; liveness and a service's readiness are KServe's own.

    Args:
        dataplane: of KServe's server.
        extension: of KServe's server; its load and unload are not offered.
        services: by name.
        health: of this server.
    """

    def __init__(
        self, dataplane: DataPlane, extension: ModelRepositoryExtension, services: Services, health: Health
    ) -> None:
        super().__init__(dataplane, extension)
        self._infer_through = infer_through(dataplane)
        self._version = dataplane.metadata()["version"]
        self._services = services
        self._health = health

    async def ServerReady(self, request: pb.ServerReadyRequest, context: ServicerContext) -> pb.ServerReadyResponse:  # noqa: N802
        """The SDK's own is true before a golden sample was answered, and while the server drains."""
        return pb.ServerReadyResponse(ready=self._health.ready)

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: ServicerContext
    ) -> pb.ServerMetadataResponse:
        """The SDK's own names extensions that are not offered, and not the one that is."""
        return pb.ServerMetadataResponse(**server_metadata(self._version))

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: ServicerContext
    ) -> pb.ModelMetadataResponse:
        """The SDK's own leaves versions and platform out."""
        return pb.ModelMetadataResponse(**service_metadata(find_service(self._services, request.name)))

    async def RepositoryModelLoad(self, request: Any, context: ServicerContext) -> Any:  # noqa: N802
        """The SDK's own lets any caller load and unload models."""
        await context.abort(StatusCode.UNIMPLEMENTED, "models are not managed through this port")

    RepositoryModelUnload = RepositoryModelLoad

    async def ModelInfer(self, request: pb.ModelInferRequest, context: ServicerContext) -> pb.ModelInferResponse:  # noqa: N802
        """The SDK's own codec copies tensors into typed contents, which clients read in different ways."""
        headers = {key: value for key, value in to_headers(context).items() if isinstance(value, str)}
        request_id, started, outcome = begin(headers), time.perf_counter(), "gone"
        try:
            response = await self._infer(request, headers, context)
            outcome = StatusCode.OK.name
        except Exception as exc:
            outcome = getattr(translate(exc), "grpc_code", StatusCode.INTERNAL.name)
            raise
        finally:
            service = request.model_name if request.model_name in self._services else "none"
            record(service, "grpc", outcome, time.perf_counter() - started, request_id)
        return response

    async def _infer(
        self, request: pb.ModelInferRequest, headers: dict[str, str], context: ServicerContext
    ) -> pb.ModelInferResponse:
        service = find_service(self._services, request.model_name)
        parsed = parse_infer_request(service.task.kind, request)
        remaining_s = context.time_remaining()
        if remaining_s is not None and TIMEOUT_HEADER not in headers:
            headers[TIMEOUT_HEADER] = str(max(1, int(remaining_s * 1000)))
        answered, _ = await self._infer_through(service, parsed, headers)
        tensors = service.task.presented_tensors(answered)
        return render_infer_response(pb.ModelInferResponse(), request, tensors, answered.parameters)


class Interceptor(aio.ServerInterceptor):  # type: ignore[misc]
    """Errors to status codes, and a limit on what all messages together hold.

    Args:
        max_held_bytes: of all messages that are being worked on; a message beyond is refused as RESOURCE_EXHAUSTED.
    """

    def __init__(self, max_held_bytes: int) -> None:
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[RpcMethodHandler]], details: HandlerCallDetails
    ) -> RpcMethodHandler:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        behaviour, parse = handler.unary_unary, handler.request_deserializer

        async def call(data: bytes, context: ServicerContext) -> Any:
            self._held_bytes += len(data)
            try:
                if self._held_bytes > self._max_held_bytes:
                    raise BusyError("the server holds as many images as it can: try again shortly")
                return await behaviour(_parsed(parse, data), context)
            except (aio.AbortError, asyncio.CancelledError):
                raise
            except Exception as exc:
                known = translate(exc)
                if known is None:
                    logger.error("fault while answering %s", details.method, exc_info=exc)
                    await context.abort(StatusCode.INTERNAL, INTERNAL)
                else:
                    await context.abort(StatusCode[known.grpc_code], message(known))
            finally:
                self._held_bytes -= len(data)

        return unary_unary_rpc_method_handler(call, None, handler.response_serializer)


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """The message; parsed here, since gRPC answers UNKNOWN where its own parsing fails, and logs a fault."""
    try:
        return parse(data)
    except DecodeError as exc:
        raise BadRequestError("the message cannot be parsed: it is not of this method's type") from exc


class GRPCServer:
    """The gRPC port.

    Args:
        address: host:port to listen on.
        servicer: what answers.
        max_message_bytes: largest request.
        grace_s: how long running requests may take after `stop`.
        interceptors: before our own.
    """

    def __init__(
        self,
        address: str,
        servicer: Servicer,
        max_message_bytes: int,
        grace_s: float,
        interceptors: Sequence[aio.ServerInterceptor] = (),
    ) -> None:
        self._interceptors = interceptors
        self._address = address
        self._servicer = servicer
        self._max_message_bytes = max_message_bytes
        self._grace_s = grace_s
        self._server: aio.Server | None = None

    async def serve(self) -> None:
        """Serve until stopped."""
        self._server = aio.server(
            ThreadPoolExecutor(max_workers=1),
            interceptors=(
                *self._interceptors,
                Interceptor(BODIES_HELD * self._max_message_bytes),
            ),
            maximum_concurrent_rpcs=_MAX_CALLS,
            options=[("grpc.max_receive_message_length", self._max_message_bytes + _ENVELOPE_BYTES)],
        )
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        self._server.add_insecure_port(self._address)
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        """Take no new requests, finish the running ones."""
        if self._server is not None:
            await self._server.stop(self._grace_s)
