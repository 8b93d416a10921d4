"""The servers that are measured, each a child process within a block."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import Self

import psutil

from exporters.catalog import MODELS
from modelport.environment import ROOT
from modelport.exporting import FRAMEWORK, framework_python
from modelport.measure.bench.cases import CASES, Case, instance, own_request, requests
from modelport.measure.bench.measuring import BenchError
from modelport.measure.generator.requests import Request
from modelport.samples import REPOSITORY
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.server import LOOPBACK, exchange, free_ports
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

LOGS = ROOT / "build" / "bench" / "logs"
START_S = 600.0  # only a fault takes longer


class Served:
    """A server; it is ready when its first request succeeds.

    Args:
        name: of its log file.
        command: that runs it.
        first: that request, or else a text that its log contains when it is ready.
        port: that it listens on.
    """

    def __init__(self, name: str, command: Sequence[str], first: Request | str, port: int) -> None:
        self.port = port
        self._name = name
        self.start_s = 0.0
        self._first = first
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        self.process = GuardedProcess(command, environment, LOGS / f"{name}.log", ROOT, grace_s=20)

    def __enter__(self) -> Self:
        began = time.monotonic()
        self.process.start()
        while not self._answers():
            if not self.process.is_alive() or time.monotonic() - began > START_S:
                self.process.stop()
                raise BenchError(f"{self._name} did not start: {self.process.log().strip().splitlines()[-3:]}")
            time.sleep(0.1)
        self.start_s = time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.process.stop()

    def _answers(self) -> bool:
        if isinstance(self._first, str):
            return self._first in self.process.log()
        with contextlib.suppress(OSError):
            first = self._first
            return exchange(self.port, first.path, first.body, first.headers, timeout_s=60)[0] == HTTPStatus.OK
        return False


def ours(name: str, case: Case) -> Served:
    """`modelport serve` with one service and one model."""
    port, _, triton, *_ = free_ports(5)  # a server takes two in a row, Triton three
    command = [sys.executable, "-P", "-m", "modelport.stack", f"--services={case.service}", f"--port={port}"]
    command += [f"--chain={case.service}={case.model}", f"--triton-port={triton}", "--die-with-parent"]
    return Served(f"{name}-ours", command, "ready: http", port)


def legacy(name: str, case: Case) -> Served:
    """The legacy server of a case, in the environment of its framework."""
    (port,) = free_ports(1)
    module = f"modelport.measure.bench.legacy.{case.service}"
    python = [framework_python(FRAMEWORK[MODELS[case.model].platform]), "-P", "-m"]
    command = [*python, module, str(port), case.model]
    if case.service == "anomaly":
        bind = f"--bind={LOOPBACK}:{port}"
        command = [*python, "gunicorn", bind, "--workers=1", "--threads=8", f"{module}:app"]
    return Served(f"{name}-legacy", command, own_request(case, instance(case.service)), port)


@contextlib.contextmanager
def kserve_plain() -> Iterator[Served]:
    """Plain KServe: its SDK between callers and a Triton of its own."""
    case = CASES["detector"]
    port, triton_http, triton_grpc, metrics = free_ports(4)
    log = LOGS / "kserve-triton.log"
    settings = TritonSettings(REPOSITORY, log, triton_http, triton_grpc, metrics, (case.model,))
    triton = TritonServer(lay_out(), settings)
    triton.start()
    try:
        triton.wait_until_ready()
        command = [
            sys.executable,
            "-P",
            "-m",
            "modelport.measure.bench.legacy.kserve_detector",
            f"--http_port={port}",
            "--enable_grpc=false",
        ]
        command += [
            f"--predictor_host={LOOPBACK}:{triton_http}",
            "--predictor_protocol=v2",
            f"--model_name={case.model}",
        ]
        with Served("detector-kserve", command, kserve_request(), port) as served:
            yield served
    finally:
        triton.stop()


def kserve_request() -> Request:
    """The request to plain KServe: V1 with base64, to the model's own name."""
    case = CASES["detector"]
    return replace(requests(case)["V1"], path=f"/v1/models/{case.model}:predict")


def running() -> list[psutil.Process]:
    """The processes of what is served at present, without guards: this process has no other children."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "guard.py" not in " ".join(child.cmdline()[:4]):
                found.append(child)
    return found
