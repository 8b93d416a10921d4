"""The whole local stack: Triton and the transformer server, started, minded and stopped together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from kserve_transformers.settings import CHAINS, SERVICES
from local_stack import guard
from local_stack.environment import ROOT, say
from local_stack.errors import PortTakenError, StackError, StartError
from local_stack.model_minder import ModelMinder
from local_stack.server import LOOPBACK, Server
from local_stack.transformer_server import TransformerServer, TransformerSettings
from local_stack.triton_distribution import lay_out
from local_stack.triton_server import TritonServer, TritonSettings

LOOK_S = 0.5
SPARES_S = 10.0
MAX_BACK_OFF_S = 30.0
STEADY_S = 60.0  # a server that ran this long starts its count of failures anew
MAX_FAILURES = 5
STALLED_LOOKS = 2  # a busy machine may be late once


@dataclass(frozen=True)
class StackSettings:
    """Ports, services and folders of a stack."""

    services: tuple[str, ...] = SERVICES
    http_port: int = 8080
    grpc_port: int = 8081
    triton_http_port: int = 8000
    triton_grpc_port: int = 8001
    triton_metrics_port: int = 8002
    repository: Path = ROOT / "model_repository"
    logs: Path = ROOT / "build" / "logs"
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(CHAINS))

    @property
    def models(self) -> tuple[str, ...]:
        """The models behind the services."""
        return tuple(dict.fromkeys(model for service in self.services for model in self.chains[service]))

    @property
    def transformers(self) -> tuple[TransformerSettings, ...]:
        """The transformer servers: here one, which hosts all services."""
        chains = {service: self.chains[service] for service in self.services}
        log_file = self.logs / "transformer.log"
        ports = (self.triton_http_port, self.http_port, self.grpc_port)
        return (TransformerSettings(chains, self.repository, log_file, *ports),)

    @property
    def ports(self) -> tuple[tuple[str, str, int], ...]:
        """Every port: the variable that moves it, its purpose, its number."""
        return (
            ("PORT", "REST", self.http_port),
            ("PORT", "gRPC", self.grpc_port),
            ("TRITON_PORT", "Triton's REST", self.triton_http_port),
            ("TRITON_PORT", "Triton's gRPC", self.triton_grpc_port),
            ("TRITON_PORT", "Triton's metrics", self.triton_metrics_port),
        )


class Stack:
    """Owns the servers. Call check_ports, export_missing, start, then mind until it is time to stop."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self._failures: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._stalled: dict[str, int] = {}
        self.triton = TritonServer(
            lay_out(),
            TritonSettings(
                settings.repository,
                settings.logs / "triton.log",
                settings.triton_http_port,
                settings.triton_grpc_port,
                settings.triton_metrics_port,
                models=settings.models,
            ),
        )
        self.transformers = tuple(TransformerServer(transformer) for transformer in settings.transformers)
        self.servers: tuple[Server, ...] = (self.triton, *self.transformers)
        self._minder = ModelMinder(self.triton, self.transformers)

    def start(self) -> None:
        """Start both at once and return when both are ready.

        Raises:
            StartError: one of them did not become ready; whatever was started is stopped.
        """
        try:
            for server in self.servers:
                server.start()
            for server in self.servers:
                server.wait_until_ready()
                self._started[server.name] = time.monotonic()
            self._let_spares_follow()
        except BaseException:
            self.stop()
            raise

    def _let_spares_follow(self) -> None:
        """A service is ready with one model of its chain: give the others a little time, so that people see all."""
        deadline = time.monotonic() + SPARES_S
        while time.monotonic() < deadline:
            reports = [report for transformer in self.transformers for report in transformer.services().values()]
            if all(model["ready"] for report in reports for model in report["models"].values()):
                return
            time.sleep(0.1)

    def mind(self) -> None:
        """Look after the servers and their models for ever: start again what ended, replace what went bad.

        Raises:
            StackError: a server ended again and again.
        """
        while True:
            for server in self.servers:
                if not server.is_alive():
                    self._revive(server, f"ended ({server.ending()})")
                elif self._is_stalled(server):
                    server.kill()
                    self._revive(server, "stopped answering")
            self._minder.look()
            time.sleep(LOOK_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the servers in order: the transformers, which drain, all at once, then who is called."""
        draining = [Thread(target=server.stop, args=(number,), daemon=True) for server in self.transformers]
        for thread in draining:
            thread.start()
        for thread in draining:
            thread.join()
        for server in reversed(self.servers):
            server.stop(number)

    def _is_stalled(self, server: Server) -> bool:
        self._stalled[server.name] = self._stalled.get(server.name, 0) + 1 if server.is_stalled() else 0
        return self._stalled[server.name] >= STALLED_LOOKS

    def _revive(self, server: Server, why: str) -> None:
        steady = time.monotonic() - self._started[server.name] > STEADY_S
        failures = 1 if steady else self._failures.get(server.name, 0) + 1
        self._failures[server.name] = failures
        if failures > MAX_FAILURES:
            raise StackError(f"{server.name} failed {failures} times in a row: {'; '.join(server.errors())}")
        back_off_s = min(2.0 ** (failures - 2), MAX_BACK_OFF_S) if failures > 1 else 0.0
        say(f"{server.name} {why}: starting it again" + f" in {back_off_s:g} s" * (back_off_s > 0))
        time.sleep(back_off_s)
        began = time.monotonic()
        server.start()
        try:
            server.wait_until_ready()
            say(f"{server.name} is ready again after {time.monotonic() - began:.1f} s")
        except StartError as error:
            say(str(error), error=True)
            server.stop()
        self._started[server.name] = time.monotonic()
        self._stalled[server.name] = 0
        self._minder.settle()


def check_ports(settings: StackSettings) -> None:
    """Look whether every port is free, before anything is started.

    Raises:
        PortTakenError: one is not; the message names the variable that moves it.
    """
    for variable, purpose, port in settings.ports:
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError as error:
            raise PortTakenError(
                f"port {port} ({purpose}) cannot be used ({error.strerror}): "
                f"end what listens there, or move with make serve {variable}={port + 1000}"
            ) from error


def export_missing(settings: StackSettings) -> None:
    """Build the artefacts that are not there yet.

    Raises:
        StackError: the exporters failed; they said why.
    """
    missing = [model for model in settings.models if not any((settings.repository / model).glob("[0-9]*/*"))]
    if not missing:
        return
    exporters = [sys.executable, "-m", "exporters", *missing, f"--repository={settings.repository}"]
    with subprocess.Popen(
        [sys.executable, "-IS", guard.__file__, "5", "", *exporters],
        stdin=subprocess.PIPE,  # closes when we end, however we end, and ends the exporters
        env={**os.environ, "PYTHONPATH": str(ROOT / "export"), "PYTHONSAFEPATH": "1"},
    ) as export:
        if export.wait():
            raise StackError(f"export of {', '.join(missing)} failed, see above; run `make export` to try again")
