"""Stacks as processes of their own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from waiting import wait_for

from modelport.environment import ROOT
from modelport.stack.server import free_ports


@contextlib.contextmanager
def served(log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`modelport serve` on free ports within the block; it must end well after it.

    Args:
        log: of its output.
        options: of the command, beside its ports.

    Yields:
        Its process and its REST port.
    """
    port, _, triton_port, *_ = free_ports(5)  # a transformer takes two in a row, Triton three
    command = [sys.executable, "-P", "-m", "modelport.stack", f"--port={port}", f"--triton-port={triton_port}"]
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "ready: http" in log.read_text() or process.poll() is not None, log)
        assert process.poll() is None, log.read_text()
        yield process, port
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
