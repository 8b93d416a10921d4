"""One of the two releases in a comparison, served on this machine as `make serve` serves it."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kserve_transformers.judging.answers import Answer, recorded_answer
from kserve_transformers.service_spec import ServiceSpec
from modelport.releases.comparison.caller import INFER_TIMEOUT_S, REFUSALS, Caller, RefusedError, connect
from modelport.releases.comparison.samples import Sample
from modelport.releases.errors import ComparisonError
from modelport.stack.errors import StartError
from modelport.stack.server import LOOPBACK, free_ports
from modelport.stack.stack import Stack, StackSettings


@dataclass(frozen=True)
class Side(Caller):
    """A release that is being served."""

    stack: Stack

    def predict(self, sample: Sample, parameters: Mapping[str, Any]) -> tuple[Answer, float]:
        """Send a sample with parameters by V1; returns the answer as records have it, and the latency in seconds.

        Raises:
            RefusedError: the service does not accept the sample.
            ComparisonError: there was no answer.
        """
        instance = (
            {"b64": base64.b64encode(sample.content).decode()}
            if isinstance(sample.content, bytes)
            else sample.content.tolist()
        )
        body = json.dumps({"instances": [instance], "parameters": dict(parameters)}).encode()
        address = f"http://{LOOPBACK}:{self.stack.settings.http_port}/v1/models/{self.service}:predict"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=INFER_TIMEOUT_S) as response:  # noqa: S310
                (prediction,) = json.loads(response.read())["predictions"]
        except urllib.error.HTTPError as exc:
            message = exc.read().decode(errors="replace")
            if str(exc.code) in REFUSALS:
                raise RefusedError(message) from exc
            raise ComparisonError(f"{self.name} did not answer {sample.name}: {message}") from exc
        except OSError as exc:
            raise ComparisonError(f"{self.name} did not answer {sample.name} ({exc!r}): see its logs") from exc
        return recorded_answer(prediction), time.perf_counter() - began

    def memory_mib(self) -> float:
        """The proportional set size of Triton and the models' processes, MiB."""
        return self.stack.triton.memory_bytes() / 2**20


@contextlib.contextmanager
def side(name: str, service: ServiceSpec, folder: Path, logs: Path, options: tuple[str, ...] = ()) -> Iterator[Side]:
    """Serve a release on free ports until the block ends.

    Args:
        name: what messages call the release.
        service: the only service that is served.
        folder: a model repository with the service's models.
        logs: the folder for the logs of Triton and the transformer.
        options: of the transformer.

    Raises:
        ComparisonError: the release does not become ready.
    """
    http, grpc, triton_http, triton_grpc, metrics = free_ports(5)
    settings = StackSettings((service,), http, grpc, triton_http, triton_grpc, metrics, folder, logs, options=options)
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
