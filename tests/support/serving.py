"""Stacks, in processes of their own or in this one."""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from waiting import wait_for

from modelport.adding.checkout import Checkout
from modelport.environment import ROOT
from modelport.stack.server import free_ports
from modelport.stack.stack import Stack, StackSettings, export_missing


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


@contextlib.contextmanager
def answering(settings: StackSettings) -> Iterator[httpx.Client]:
    """A stack in this process, whose models are exported where they are missing; yields a client of its REST port."""
    export_missing(settings)
    stack = Stack(settings)
    stack.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.http_port}", timeout=60) as client:
            yield client
    finally:
        stack.stop(signal.SIGINT)


def checkout_without_models(root: Path) -> Checkout:
    """A copy of what `modelport add` changes in a checkout, whose model repository is empty."""
    checkout = Checkout(root)
    shutil.copytree(ROOT / "manifests", checkout.manifests)
    checkout.repository.mkdir()
    shutil.copy(ROOT / "services.yaml", checkout.declaration)
    return checkout
