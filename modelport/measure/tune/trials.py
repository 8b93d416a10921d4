"""A Triton of its own, with one model, on which candidates are measured one after another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype

from exporters.config import FILENAME, to_text
from exporters.files import replace_file
from modelport.measure.bench.measuring import BenchError, Load, Report, call
from modelport.measure.generator.requests import Request
from modelport.measure.tune.judging import Turn
from modelport.measure.tune.knobs import Knobs, applied
from modelport.measure.tune.search import RefusedError
from modelport.releases.errors import GateError
from modelport.releases.gate.golden import INFER_TIMEOUT_S, check_model, read_sample
from modelport.stack.errors import StartError
from modelport.stack.server import LOOPBACK, free_ports
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import ERROR_LINE, TritonServer, TritonSettings

MB = 2**20


@dataclass(frozen=True)
class Plan:
    """How each turn is measured.

    Attributes:
        callers: that saturate the model, each with one request of one row under way.
        seconds: of each of the two loads, at least.
    """

    callers: int
    seconds: float = 1.5


class Trials:
    """Candidates of one model; a context manager, whose end leaves neither processes nor files.

    Args:
        model_dir: the model's folder, which is only read.
        config: its ModelConfig message.
        plan: of each turn.
        folder: for the copy of the model and Triton's log.
        cores: Triton and its processes are kept on these.
    """

    def __init__(self, model_dir: Path, config: Any, plan: Plan, folder: Path, cores: set[int]) -> None:
        self._model_dir, self._config, self._plan, self._cores = model_dir, config, plan, cores
        self._request = _request(model_dir, config)
        self._repository = folder / f"repository-{os.getpid()}"
        self._copy = self._repository / model_dir.name
        self._port, grpc, metrics = free_ports(3)
        log_file, models = folder / f"{model_dir.name}.log", (model_dir.name,)
        settings = TritonSettings(self._repository, log_file, self._port, grpc, metrics, models)
        settings.log_file.unlink(missing_ok=True)
        self._triton = TritonServer(lay_out(), settings)

    def __enter__(self) -> Trials:
        """Start Triton with the model as it is, and measure what Triton itself occupies.

        Raises:
            StartError: Triton does not serve the model.
        """
        usual = os.sched_getaffinity(0)
        try:
            self._make_copy()
            os.sched_setaffinity(0, self._cores)  # what is started inherits this
            try:
                self._triton.start()
            finally:
                os.sched_setaffinity(0, usual)
            self._triton.wait_until_ready()
            self._triton.unload_model(self._copy.name)
            self._own_bytes = self._triton.memory_bytes()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Triton."""
        self._end()

    def measure(self, knobs: Knobs) -> Turn:
        """Load a candidate, check its golden answer, send it both loads, and unload it.

        Raises:
            RefusedError: Triton does not load it, its golden answer is wrong, or requests fail.
        """
        self._configure(applied(self._config, knobs))
        model, logged = self._copy.name, len(self._triton.log())
        try:
            self._triton.load_model(model)
        except StartError as error:
            said = [match["message"] for match in ERROR_LINE.finditer(self._triton.log()[logged:]) if match["message"]]
            raise RefusedError(said[-1] if said else str(error)) from error
        try:
            address = f"{LOOPBACK}:{self._port}"
            with InferenceServerClient(address, network_timeout=INFER_TIMEOUT_S) as client:
                check_model(client, self._copy)
            alone, busy = self._send(1), self._send(self._plan.callers)
            memory = (self._triton.memory_bytes() - self._own_bytes) / MB
        except (BenchError, GateError) as error:
            raise RefusedError(str(error)) from error
        finally:
            self._triton.unload_model(model)
        rate = len(busy.latencies_s) / busy.seconds
        return Turn(_ms(alone), _ms(busy), rate, memory, busy.others)

    def _send(self, callers: int) -> Report:
        pids = [process.pid for process in psutil.Process().children(recursive=True)]
        report = call(self._port, Load("V2", self._request, callers, self._plan.seconds), pids)
        if report.failed or not report.latencies_s:
            raise RefusedError(f"requests failed: {_counts(report.failed)} of {len(report.latencies_s)}")
        return report

    def _make_copy(self) -> None:
        """Links to the model's files, beside a configuration that is not the model's own."""
        self._copy.mkdir(parents=True)
        for entry in self._model_dir.resolve().iterdir():
            if entry.name != FILENAME:
                (self._copy / entry.name).symlink_to(entry)
        self._configure(self._config)

    def _configure(self, config: Any) -> None:
        replace_file(self._copy / FILENAME, to_text(config).encode())

    def _end(self) -> None:
        self._triton.stop()
        shutil.rmtree(self._repository, ignore_errors=True)


def _request(model_dir: Path, config: Any) -> Request:
    """The golden sample as a request of one row, with binary tensors both ways.

    Raises:
        GateError: the model has no golden sample.
    """
    batch = read_sample(model_dir, config).batch
    tensor = InferInput(config.input[0].name, list(batch.shape), np_to_triton_dtype(batch.dtype))
    tensor.set_data_from_numpy(batch)
    outputs = [InferRequestedOutput(output.name) for output in config.output]
    body, head_length = InferenceServerClient.generate_request_body([tensor], outputs)
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(head_length)}
    return Request(f"/v2/models/{config.name}/infer", body, headers)


def _ms(report: Report) -> list[float]:
    return [1000 * seconds for seconds in report.latencies_s]


def _counts(failed: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in failed.items())
