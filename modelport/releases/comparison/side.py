"""One release of a service, served on this machine as `make serve` would serve it, to be asked and measured."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from modelport.releases.comparison.answers import Answer, read_answer
from modelport.releases.comparison.samples import Sample
from modelport.releases.errors import ComparisonError
from modelport.services import choose
from modelport.stack.errors import StartError
from modelport.stack.server import LOOPBACK, free_ports
from modelport.stack.stack import Stack, StackSettings

ANSWER_TIMEOUT_S = 60.0
REFUSALS = ("400", "413", "415")  # the sample's fault


class RefusedError(Exception):
    """The service does not take this sample: the message is its own."""


@dataclass(frozen=True)
class Side:
    """A release that is being served."""

    name: str
    service: str
    task: str
    stack: Stack
    client: InferenceServerClient

    def ask(self, sample: Sample) -> tuple[Answer, float]:
        """The transformer's answer to a sample, and the seconds that it took.

        Raises:
            RefusedError: the sample is none that the service takes.
            ComparisonError: there was no answer.
        """
        if isinstance(sample.content, bytes):
            tensor = InferInput("image", [1], "BYTES")
            tensor.set_data_from_numpy(np.array([sample.content], object))
        else:
            tensor = InferInput("window", [1, len(sample.content)], "FP32")
            tensor.set_data_from_numpy(sample.content[np.newaxis])
        began = time.perf_counter()
        try:
            result = self.client.infer(self.service, [tensor])
        except InferenceServerException as exc:
            if exc.status() in REFUSALS:
                raise RefusedError(str(exc.message())) from exc
            raise ComparisonError(f"{self.name} did not answer {sample.name}: {exc.message()}") from exc
        except OSError as exc:
            raise ComparisonError(f"{self.name} did not answer {sample.name} ({exc!r}): see its logs") from exc
        seconds = time.perf_counter() - began
        outputs = {output["name"]: result.as_numpy(output["name"]) for output in result.get_response()["outputs"]}
        return read_answer(self.task, outputs), seconds

    def memory_mb(self) -> float:
        """Of Triton and the models' processes, proportional set size, MiB."""
        return self.stack.triton.memory_bytes() / 2**20

    def models(self) -> dict[str, Any]:
        """What the models say of themselves."""
        found: dict[str, Any] = self.stack.transformers[0].services()[self.service]["models"]
        return found


@contextlib.contextmanager
def side(name: str, service: str, folder: Path, logs: Path) -> Iterator[Side]:
    """Serve a release on free ports until the block ends.

    Args:
        name: of the release.
        service: whose models are in the folder.
        folder: a model repository.
        logs: where Triton and the transformer write theirs.

    Raises:
        ComparisonError: it does not become ready.
    """
    http, grpc, triton_http, triton_grpc, metrics = free_ports(5)
    (spec,) = choose(service)
    settings = StackSettings((spec,), http, grpc, triton_http, triton_grpc, metrics, folder, logs)
    stack = Stack(settings)
    try:
        stack.start()
    except StartError as exc:
        raise ComparisonError(f"{name} cannot be served: {exc}") from exc
    try:
        address = f"{LOOPBACK}:{settings.http_port}"
        with InferenceServerClient(address, network_timeout=ANSWER_TIMEOUT_S) as client:
            yield Side(name, service, spec.task, stack, client)
    finally:
        stack.stop(signal.SIGINT)  # at once: nobody else asks
