"""One of the two releases in a comparison, served on this machine as `make serve` serves it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kserve_transformers.service_spec import ServiceSpec
from modelport.releases.comparison.caller import Caller, connect
from modelport.releases.errors import ComparisonError
from modelport.stack.errors import StartError
from modelport.stack.server import LOOPBACK, free_ports
from modelport.stack.stack import Stack, StackSettings


@dataclass(frozen=True)
class Side(Caller):
    """A release that is being served."""

    stack: Stack

    def memory_mib(self) -> float:
        """The proportional set size of Triton and the models' processes, MiB."""
        return self.stack.triton.memory_bytes() / 2**20


@contextlib.contextmanager
def side(name: str, service: ServiceSpec, folder: Path, logs: Path) -> Iterator[Side]:
    """Serve a release on free ports until the block ends.

    Args:
        name: what messages call the release.
        service: the only service that is served.
        folder: a model repository with the service's models.
        logs: the folder for the logs of Triton and the transformer.

    Raises:
        ComparisonError: the release does not become ready.
    """
    http, grpc, triton_http, triton_grpc, metrics = free_ports(5)
    settings = StackSettings((service,), http, grpc, triton_http, triton_grpc, metrics, folder, logs)
    stack = Stack(settings)
    try:
        stack.start()
    except StartError as exc:
        raise ComparisonError(f"{name} cannot be served: {exc}") from exc
    try:
        with connect(f"http://{LOOPBACK}:{settings.http_port}") as client:
            yield Side(name, service.name, client, stack)
    finally:
        stack.stop(signal.SIGINT)  # without draining: there are no other callers
