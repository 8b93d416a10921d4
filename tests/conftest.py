"""What all tests share: the real stack, started once, and the sample pictures."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from waiting import wait_for

from kserve_transformers.settings import SERVICES
from modelport.stack.server import free_ports as find_free_ports
from modelport.stack.stack import Stack, StackSettings, export_missing

pytest_plugins = ["lookup_model"]

# KServe's and Triton's generated gRPC code define the same names, and a process has one pool of them. Triton's client
# gets a pool of its own here, so that tests of both can run in one process.
_default_pool = descriptor_pool.Default
_tritons_pool = descriptor_pool.DescriptorPool()
descriptor_pool.Default = lambda: _tritons_pool
importlib.import_module("tritonclient.grpc")
descriptor_pool.Default = _default_pool


@dataclass(frozen=True)
class RunningStack:
    """Addresses of a running stack. The processes belong to `stack`: who kills one starts it again."""

    stack: Stack
    http: str
    grpc: str
    triton_http: str
    triton_grpc: str


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Finds ports that nobody listens on now."""
    return find_free_ports


@pytest.fixture(scope="session")
def stack(free_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Triton and the transformer server with all services, on free ports, once for all tests."""
    settings = StackSettings(SERVICES, *free_ports(5), logs=tmp_path_factory.mktemp("logs"))
    export_missing(settings)
    running = Stack(settings)
    running.start()
    yield RunningStack(
        stack=running,
        http=f"http://127.0.0.1:{settings.http_port}",
        grpc=f"127.0.0.1:{settings.grpc_port}",
        triton_http=f"127.0.0.1:{settings.triton_http_port}",
        triton_grpc=f"127.0.0.1:{settings.triton_grpc_port}",
    )
    running.stop(signal.SIGINT)  # at once: nobody has to notice


@pytest.fixture(autouse=True)
def all_is_well(request: pytest.FixtureRequest) -> None:
    """Begin when all of the stack's models are well: a machine that stood still lets golden samples come late."""
    if "stack" in request.fixturenames:
        (transformer,) = request.getfixturevalue("stack").stack.transformers
        wait_for(transformer.all_models_ready)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder of sample photos."""
    return Path(__file__).parent / "data" / "pictures"
