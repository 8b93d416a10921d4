"""A real Triton for the tests of the local stack and the backends."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.triton_distribution import Distribution, lay_out
from local_stack.triton_server import TritonServer, TritonSettings

StartTriton = Callable[[Path], TritonServer]


@pytest.fixture(scope="session")
def distribution() -> Distribution:
    return lay_out()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def new_triton(distribution: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTriton]:
    """Makes a TritonServer over a repository, not started; whatever a test started is stopped after the module."""
    servers = []

    def build(repository: Path) -> TritonServer:
        log_file = tmp_path_factory.mktemp("log") / "triton.log"
        servers.append(TritonServer(distribution, TritonSettings(repository, log_file, *free_ports(3))))
        return servers[-1]

    yield build
    for server in servers:
        server.stop()
