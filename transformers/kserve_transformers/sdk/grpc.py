"""V2 over gRPC: KServe's server, with our codec."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grpc import ServicerContext, StatusCode, aio
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer, to_headers
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from kserve_transformers import tracing
from kserve_transformers.health import Health
from kserve_transformers.metadata import server_metadata, service_metadata
from kserve_transformers.observe import NO_SERVICE, REQUEST_ID, begin, record
from kserve_transformers.protocol.grpc import parse_infer_request, render_infer_response
from kserve_transformers.protocol.v2 import check_version
from kserve_transformers.sdk.errors import translate
from kserve_transformers.sdk.grpc_calls import Calls, server_options
from kserve_transformers.sdk.grpc_services import add_services
from kserve_transformers.sdk.model import infer_through
from kserve_transformers.service import Service, Services, find_service
from kserve_transformers.settings import Limits

# Outcomes that are not the caller's own doing.
_FAILED = ("gone", "UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS")


class Servicer(InferenceServicer):  # type: ignore[misc]
    """The V2 methods; liveness is KServe's own.

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
        self.services = services
        self.health = health

    def _service(self, name: str, version: str) -> Service:
        """A service, if it has the version."""
        service = find_service(self.services, name)
        check_version(version)
        return service

    async def ServerReady(self, request: pb.ServerReadyRequest, context: ServicerContext) -> pb.ServerReadyResponse:  # noqa: N802
        """The SDK's own is true before a golden sample was answered, and while the server drains."""
        return pb.ServerReadyResponse(ready=self.health.ready)

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: ServicerContext
    ) -> pb.ServerMetadataResponse:
        """The SDK's own names extensions that are not offered, and not the one that is."""
        return pb.ServerMetadataResponse(**server_metadata())

    async def ModelReady(self, request: pb.ModelReadyRequest, context: ServicerContext) -> pb.ModelReadyResponse:  # noqa: N802
        """The SDK's own knows no versions."""
        return pb.ModelReadyResponse(ready=self._service(request.name, request.version).unready_reason is None)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: ServicerContext
    ) -> pb.ModelMetadataResponse:
        """The SDK's own leaves versions and platform out."""
        return pb.ModelMetadataResponse(**service_metadata(self._service(request.name, request.version)))

    async def RepositoryModelLoad(self, request: Any, context: ServicerContext) -> Any:  # noqa: N802
        """The SDK's own lets any caller load and unload models."""
        await context.abort(StatusCode.UNIMPLEMENTED, "models are not managed through this port")

    RepositoryModelUnload = RepositoryModelLoad

    async def ModelInfer(self, request: pb.ModelInferRequest, context: ServicerContext) -> pb.ModelInferResponse:  # noqa: N802
        """The SDK's own codec copies tensors into typed contents, which clients read in different ways."""
        headers = {key: value for key, value in to_headers(context).items() if isinstance(value, str)}
        request_id, started, outcome = begin(headers), time.perf_counter(), "gone"
        identified = (REQUEST_ID, request_id)
        context.set_trailing_metadata((identified,))
        service = request.model_name if request.model_name in self.services else NO_SERVICE
        traced = {"modelport.service": service, "modelport.protocol": "grpc", "modelport.request_id": request_id}
        try:
            with tracing.request(f"grpc {service}", headers, {**traced, "rpc.method": "ModelInfer"}):
                try:
                    response, answer_headers = await self._infer(request, headers)
                    told = (identified, *answer_headers.items())  # clients read either
                    await context.send_initial_metadata(told)
                    context.set_trailing_metadata(told)
                    outcome = StatusCode.OK.name
                except Exception as exc:
                    known = translate(exc)
                    outcome = known.grpc_code if known else StatusCode.INTERNAL.name
                    more = [(name.lower(), value) for name, value in known.headers.items()] if known else []
                    context.set_trailing_metadata((identified, *more))
                    del known  # a frame of an error that refers to it is a cycle
                    raise
                finally:
                    tracing.note({"rpc.response.status_code": outcome}, outcome if outcome in _FAILED else None)
        finally:
            record(service, "grpc", outcome, time.perf_counter() - started, request_id)
        return response

    async def _infer(
        self, request: pb.ModelInferRequest, headers: dict[str, str]
    ) -> tuple[pb.ModelInferResponse, dict[str, str]]:
        service = find_service(self.services, request.model_name)
        parsed = parse_infer_request(service.task.kind, request)
        answered, answer_headers = await self._infer_through(service, parsed, headers)
        tensors = service.task.presented_tensors(answered)
        response = render_infer_response(pb.ModelInferResponse(), request, tensors, answered.parameters)
        return response, answer_headers


class GRPCServer:
    """The gRPC port.

    Args:
        address: host:port to listen on.
        servicer: what answers.
        limits: of a request.
        grace_s: how long running requests may take after `stop`.
        interceptors: behind our own, which waits for messages.
    """

    def __init__(
        self,
        address: str,
        servicer: Servicer,
        limits: Limits,
        grace_s: float,
        interceptors: Sequence[aio.ServerInterceptor] = (),
    ) -> None:
        self._interceptors = interceptors
        self._address = address
        self._servicer = servicer
        self._limits = limits
        self._grace_s = grace_s
        self._server: aio.Server | None = None

    async def serve(self) -> None:
        """Serve until stopped."""
        self._server = aio.server(
            ThreadPoolExecutor(max_workers=1),
            interceptors=(Calls(self._limits), *self._interceptors),
            options=server_options(self._limits),
        )
        add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        add_services(self._server, self._servicer.services, self._servicer.health)
        self._server.add_insecure_port(self._address)
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        """Take no new requests, finish the running ones."""
        if self._server is not None:
            await self._server.stop(self._grace_s)
