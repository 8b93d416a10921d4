"""The transformer server on this machine, in front of Triton."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kserve_transformers.service_spec import ServiceSpec
from modelport.environment import ROOT
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.server import LOOPBACK, READY_PATH, Server

GRACE_S = 45  # its own drain and the longest request


@dataclass(frozen=True)
class TransformerSettings:
    """Where a transformer server listens and what it hosts."""

    services: tuple[ServiceSpec, ...]  # what it hosts; empty where `declared` says it
    repository: Path
    log_file: Path
    triton_port: int = 8000
    http_port: int = 8080
    grpc_port: int = 8081
    start_timeout_s: float = 600.0
    name: str = "the transformer server"
    declared: tuple[str, ...] = ()  # a command line from elsewhere; what is said here comes after it and wins
    host: str = LOOPBACK  # address that it listens on
    variables: Mapping[str, str] = field(default_factory=dict)  # environment variables from elsewhere


class TransformerServer(Server):
    """Owns the transformer server's process."""

    def __init__(self, settings: TransformerSettings) -> None:
        options = {
            "host": settings.host,
            "http_port": settings.http_port,
            "grpc_port": settings.grpc_port,
            "predictor_host": f"{LOOPBACK}:{settings.triton_port}",
            "model_repository": settings.repository,
        }
        process = GuardedProcess(
            command=[
                sys.executable,
                "-m",
                "kserve_transformers",
                *settings.declared,
                *(f"--{key}={value}" for key, value in options.items()),
                *(f"--service={spec.argument()}" for spec in settings.services),
            ],
            environment={
                **os.environ,
                **settings.variables,
                "PYTHONSAFEPATH": "1",
            },
            log_file=settings.log_file,
            folder=ROOT,
            grace_s=GRACE_S,
        )
        super().__init__(settings.name, process, settings.http_port, settings.start_timeout_s)

    def services(self) -> Mapping[str, Any]:
        """Readiness by service and model, as the server reports it; empty where it does not answer."""
        _, report = self.get(READY_PATH)
        return report["services"] if isinstance(report, dict) else {}

    def all_models_ready(self) -> bool:
        """Whether every model of its chains gave its golden sample's answer; a service is ready with one of them."""
        reports = self.services().values()
        return bool(reports) and all(model["ready"] for report in reports for model in report["models"].values())

    def progress(self) -> list[str]:
        """The models whose golden samples' answers were right."""
        models = [item for report in self.services().values() for item in report["models"].items()]
        return [f"{name} passed its golden sample" for name, model in models if model["ready"]]

    def errors(self, last: int = 3) -> list[str]:
        """The services that are not ready and why, or else the last lines of its log."""
        reasons = [f"{name}: {state.get('reason')}" for name, state in self.services().items() if not state["ready"]]
        return reasons or [line.strip() for line in self.log().splitlines() if line.strip()][-last:]
