"""What stands beside KServe's gRPC methods: a service's ModelConfig, grpc.health.v1, and reflection."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import json_format
from google.protobuf.wrappers_pb2 import BytesValue
from grpc import ServicerContext, aio, method_handlers_generic_handler, unary_unary_rpc_method_handler
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from kserve_transformers.health import Health
from kserve_transformers.metadata import service_config
from kserve_transformers.protocol.v2 import check_version
from kserve_transformers.service import Services, find_service

V2_SERVICE = str(pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name)
_WATCH_S = 1.0


def add_services(server: aio.Server, services: Services, health: Health) -> None:
    """Add them to a server before it starts."""
    handler = unary_unary_rpc_method_handler(
        _ModelConfig(services).answer, pb.ModelReadyRequest.FromString, BytesValue.SerializeToString
    )
    server.add_generic_rpc_handlers((method_handlers_generic_handler(V2_SERVICE, {"ModelConfig": handler}),))
    health_pb2_grpc.add_HealthServicer_to_server(GrpcHealth(services, health), server)
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection((V2_SERVICE, health_name, reflection.SERVICE_NAME), server)


class _ModelConfig:
    """Triton's method, which KServe's interface lacks. Its messages are those of one and the same wire format: the
    request is a name and a version, as for ModelReady, and the answer has one field, here its bytes.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, request: pb.ModelReadyRequest, context: ServicerContext) -> BytesValue:
        service = find_service(self._services, request.name)
        check_version(request.version)
        config = json_format.ParseDict(service_config(service), _triton_messages().ModelConfig())
        return BytesValue(value=config.SerializeToString())


class GrpcHealth(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """grpc.health.v1: the server is "", or V2's own name; each hosted service has its name.

    Args:
        services: by name.
        health: of this server.
    """

    def __init__(self, services: Services, health: Health) -> None:
        self._services = services
        self._health = health

    def _status(self, name: str) -> Any:
        if name in ("", V2_SERVICE):
            ready = self._health.ready
        elif name in self._services:
            ready = not self._health.draining and self._services[name].unready_reason is None
        else:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN  # as Watch tells it
        return health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING

    async def Check(self, request: Any, context: ServicerContext) -> Any:  # noqa: N802
        """The health of a name now."""
        if request.service not in ("", V2_SERVICE):
            find_service(self._services, request.service)
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def Watch(self, request: Any, context: ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        """The health of a name now, and whenever it changes; it is looked at every second."""
        told = None
        while True:
            status = self._status(request.service)
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            await asyncio.sleep(_WATCH_S)


@cache
def _triton_messages() -> ModuleType:
    """Triton's model_config_pb2 alone: its package also loads messages that KServe's have the names of."""
    spec = importlib.util.find_spec("tritonclient")
    assert spec is not None  # noqa: S101  (it is installed)
    assert spec.submodule_search_locations  # noqa: S101  (it is a package)
    path = Path(spec.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    module_spec = importlib.util.spec_from_file_location("kserve_transformers.triton_model_config", path)
    assert module_spec is not None  # noqa: S101  (it is a Python file)
    assert module_spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module
