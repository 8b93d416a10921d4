"""What all tests share: the real stack, started once, and the sample images."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc_pools  # noqa: F401  (before what imports either of them)
import hypothesis
import pytest
from hypothesis import HealthCheck
from pytest_httpserver import HTTPServer
from waiting import wait_for

from modelport.services import choose
from modelport.stack.server import free_ports as find_free_ports
from modelport.stack.stack import Stack, StackSettings, export_missing

pytest_plugins = ["buckets", "lookup_model"]
for name in [name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))]:
    del os.environ[name]  # what `make test` tells a make below it
# the same examples each time: others are searched with --hypothesis-profile=default
hypothesis.settings.register_profile(
    "patient", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the files in which a test uses the fixture `stack`, before -m selects: their other fixtures are shared."""
    sharing = {item.path for item in items if "stack" in getattr(item, "fixturenames", ())}
    for item in items:
        if item.path in sharing:
            item.add_marker("stack")


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
def make_httpserver() -> Iterator[HTTPServer]:
    """The server of pytest-httpserver's `httpserver`, which answers several requests at once and writes no log."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with HTTPServer("127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture(scope="session")
def exported() -> None:
    """The artefacts of all services' models are there: for tests that start a stack of their own."""
    export_missing(StackSettings(choose()))


@pytest.fixture(scope="session")
def stack(exported, free_ports, tmp_path_factory) -> Iterator[RunningStack]:
    """Triton and the transformer server with all services, on free ports, once for all tests."""
    settings = StackSettings(choose(), *free_ports(5), logs=tmp_path_factory.mktemp("logs"))
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
def all_is_well(request) -> None:
    """Begin when all of the stack's models are well: a machine that stood still lets golden samples come late."""
    if "stack" in request.fixturenames:
        (transformer,) = request.getfixturevalue("stack").stack.transformers
        wait_for(transformer.all_models_ready)


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder of sample photos."""
    return Path(__file__).parent / "data" / "images"
