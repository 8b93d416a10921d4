"""What all tests share."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Finds ports that nobody listens on now."""

    def find(count: int) -> list[int]:
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
            return [one.getsockname()[1] for one in sockets]

    return find
