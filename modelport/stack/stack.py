"""The whole local stack: Triton and the transformer server, started, supervised and stopped together."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.catalog import MODELS
from kserve_transformers.predictor.signature import PublicKeys
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tracing import Collector
from modelport.environment import ROOT, say
from modelport.exporting import FRAMEWORK, export
from modelport.services import choose, models_of
from modelport.stack.control import Control
from modelport.stack.errors import PortTakenError, StackError
from modelport.stack.live_models import LiveModels
from modelport.stack.model_supervisor import ModelSupervisor
from modelport.stack.running import run_folder
from modelport.stack.server import LOOPBACK, port_problem
from modelport.stack.supervisor import Supervisor
from modelport.stack.transformer_server import TransformerServer, TransformerSettings
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings
from modelport.stack.updater import Say, Updater


@dataclass(frozen=True)
class StackSettings:
    """Ports, services and folders of a stack.

    Callers reach it at `host`; what is behind it listens on loopback. `options` are the transformer servers', beside
    those that the stack sets.
    """

    services: tuple[ServiceSpec, ...] = field(default_factory=choose)
    http_port: int = 8080
    grpc_port: int = 8081
    triton_http_port: int = 8000
    triton_grpc_port: int = 8001
    triton_metrics_port: int = 8002
    repository: Path = ROOT / "model_repository"
    logs: Path = ROOT / "build" / "logs"
    host: str = LOOPBACK
    options: tuple[str, ...] = ()

    @property
    def run_folder(self) -> Path:
        """What belongs to the stack while it runs."""
        return run_folder(self.http_port)

    @property
    def signature_keys(self) -> PublicKeys | None:
        """The keys of --require_signature, which the transformer servers get, too."""
        text = self._option("require_signature")
        return PublicKeys([Path(name) for name in text.split(",")]) if text else None

    @property
    def trace_url(self) -> str:
        """Where Triton sends its spans, by HTTP alone: the collector of --trace; empty where that takes gRPC."""
        text = self._option("trace")
        collector = Collector.parse(text) if text else None
        return collector.url if collector and collector.http else ""

    def _option(self, flag: str) -> str:
        """The value of a transformers' option; empty where it is not set."""
        return next((one.partition("=")[2] for one in self.options[::-1] if one.startswith(f"--{flag}=")), "")

    @property
    def models(self) -> tuple[str, ...]:
        """The models behind the services."""
        return models_of(self.services)

    @property
    def transformers(self) -> tuple[TransformerSettings, ...]:
        """The transformer servers: here one, which hosts all services."""
        log_file = self.logs / "transformer.log"
        ports = (self.triton_http_port, self.http_port, self.grpc_port)
        declared = ("--follow_releases", *self.options)
        folder = self.run_folder / "models"
        return (TransformerSettings(self.services, folder, log_file, *ports, declared=declared, host=self.host),)

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


class Stack(Supervisor):
    """Owns the servers. Call check_ports, export_missing, start, then supervise until it is time to stop."""

    def __init__(self, settings: StackSettings) -> None:
        super().__init__()
        self.settings = settings
        self._live = LiveModels(settings.run_folder / "models", settings.repository)
        self.triton = TritonServer(
            lay_out(),
            TritonSettings(
                self._live.folder,
                settings.logs / "triton.log",
                settings.triton_http_port,
                settings.triton_grpc_port,
                settings.triton_metrics_port,
                models=settings.models,
                trace_url=settings.trace_url,
            ),
        )
        self.transformers = tuple(TransformerServer(transformer) for transformer in settings.transformers)
        self.servers = (self.triton, *self.transformers)
        self.model_supervisors = (ModelSupervisor(self.triton, self.transformers, self._live.replaced),)
        chains = {spec.name: spec.models for spec in settings.services}
        self._updater = Updater(chains, self._live, self.triton, self.transformers[0], settings.signature_keys)
        self._control = Control(settings.run_folder, self._carry_out)

    def start(self) -> None:
        """Start all, on the model repository as it stands; then take commands.

        Raises:
            StartError: one of them did not become ready; whatever was started is stopped.
        """
        self._live.create()
        super().start()
        self._control.open()
        self.tell(self.settings.http_port, self.settings.repository)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Take no more commands, end the servers in order, and leave nothing."""
        self._control.close()
        super().stop(number)
        self._live.remove()

    def _carry_out(self, command: Mapping[str, Any], say_there: Say) -> None:
        """The one command that there is: update a service to a release."""

        def both(text: str) -> None:
            say(f"update of {command['service']}: {text}")
            say_there(text)

        chain = command.get("chain", ())
        self._updater.update(command["service"], command["release"], Path(command["folder"]), both, chain)

    def triton_of(self, transformer: TransformerServer) -> TritonServer:
        """The one that there is."""
        return self.triton


def check_ports(settings: StackSettings) -> None:
    """Look whether every port is free, before anything is started.

    Raises:
        PortTakenError: one is not, or comes twice; the message names the variable that moves it.
    """
    used: dict[int, str] = {}
    for variable, purpose, port in settings.ports:
        if port in used:
            raise PortTakenError(f"port {port} would be {used[port]} and {purpose}: move PORT and TRITON_PORT apart")
        used[port] = purpose
        if why := port_problem(port, settings.host):
            raise PortTakenError(
                f"port {port} ({purpose}) cannot be used ({why}): "
                f"end what listens there, or move with make serve {variable}={port + 1000}"
            )


def export_missing(settings: StackSettings) -> None:
    """Build the artefacts that are not there yet.

    Raises:
        StackError: the exporters failed; they said why.
    """
    missing = [model for model in settings.models if not any((settings.repository / model).glob("[0-9]*/*"))]
    if not missing:
        return
    if export(missing, settings.repository):
        raise StackError(f"export of {', '.join(missing)} failed, see above; run `make export` to try again")
    if {FRAMEWORK[MODELS[model].platform] for model in missing if model in MODELS} - {None}:
        say("exported: nothing that serves needs PyTorch or TensorFlow; `make clean-frameworks` frees their disk space")
