"""What the whole stack costs, and who can reach it."""

from __future__ import annotations

import os
from typing import Any

import psutil
import pytest
from processes import matching

GIB = 1024**3


@pytest.fixture
def processes(stack: Any) -> list[psutil.Process]:
    """Triton, its backend processes, the transformer server and the guards: all that the fixture started."""
    port = stack.triton_http.rpartition(":")[2]  # Triton's own argument, its region prefix, the transformer's predictor
    found = matching(port, under=os.getpid(), guards=True)
    assert len(found) >= 10
    return found


def test_all_services_fit_in_four_gibibytes(processes: list[psutil.Process]) -> None:
    assert sum(process.memory_full_info().pss for process in processes) < 4 * GIB


def test_every_port_is_on_loopback(processes: list[psutil.Process]) -> None:
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
