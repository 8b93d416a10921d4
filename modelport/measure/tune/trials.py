"""A Triton of its own, with one model, on which candidates are measured one after another."""

import math
import os
import shutil
import statistics
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype

from exporters.config import FILENAME, to_text
from exporters.files import replace_file
from modelport.measure.generator.load import GeneratorError, Load, Report, RunningLoad, Window
from modelport.measure.generator.requests import Request, counts
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


WARM_UP_S = 0.3
# Callers pause between an answer and the next request, as the transformer server does. With requests in lockstep, one
# that reaches Triton before the instance is back from the last batch would wait for 500 ms: with a queue policy, Triton
# tells its batcher of a request only where an instance is idle, and looks again when another request comes, or then.
THINK_S = 0.002


class Trials:
    """Candidates of one model; a context manager, whose end leaves neither processes nor files.

    Args:
        model_dir: the model's folder, which is only read.
        config: its ModelConfig message.
        seconds: of each of a turn's two loads, at least.
        folder: for the copy of the model and Triton's log.
        cores: how many there are to saturate.
        mask: the cores that Triton and its processes may use.
    """

    def __init__(
        self, model_dir: Path, config: Any, seconds: float, folder: Path, cores: int, mask: Collection[int]
    ) -> None:
        self._model_dir, self._config, self._seconds, self._cores, self._mask = model_dir, config, seconds, cores, mask
        self.callers = 0  # that saturate the model, each with a request of one row; settled by the first turn
        self._request = _request(model_dir, config)
        self._repository = folder / f"repository-{os.getpid()}"
        self._copy = self._repository / model_dir.name
        self._port, grpc, metrics = free_ports(3)
        log_file, models = folder / f"{model_dir.name}.log", (model_dir.name,)
        settings = TritonSettings(self._repository, log_file, self._port, grpc, metrics, models)
        settings.log_file.unlink(missing_ok=True)
        self._triton = TritonServer(lay_out(), settings)

    def __enter__(self) -> Self:
        """Start Triton with the model as it is, and measure what Triton itself occupies.

        Raises:
            StartError: Triton does not serve the model.
        """
        usual = os.sched_getaffinity(0)
        try:
            self._make_copy()
            os.sched_setaffinity(0, self._mask)  # what is started inherits this
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
            alone = self._send(1)
            self.callers = self.callers or saturating(self._cores, statistics.median(_ms(alone)))
            busy = self._send(self.callers)
            memory = (self._triton.memory_bytes() - self._own_bytes) / MB
        except (GeneratorError, GateError) as error:
            raise RefusedError(str(error)) from error
        finally:
            self._triton.unload_model(model)
        return Turn(_ms(alone), _ms(busy), len(busy.records) / busy.seconds, memory, busy.used.others)

    def _send(self, callers: int) -> Report:
        pids = [process.pid for process in psutil.Process().children(recursive=True)]
        window = Window(WARM_UP_S, self._seconds, tuple(pids))
        load = Load((self._request,), callers=callers, keep_alive=True, think_s=THINK_S, window=window)
        report = RunningLoad(f"http://{LOOPBACK}:{self._port}", load).report()
        found = counts(report.records)
        if set(found) != {"200"}:
            raise RefusedError(f"requests fail: {', '.join(f'{found[one]} with {one}' for one in found)}")
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


def saturating(cores: int, latency_ms: float) -> int:
    """How many callers keep two requests for each core in Triton while others of them pause."""
    return math.ceil(2 * cores * (1 + 1000 * THINK_S / latency_ms))


def _ms(report: Report) -> list[float]:
    return [1000 * record.seconds for record in report.records]
