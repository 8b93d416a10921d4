"""A real Triton on this machine, on loopback only, secured as NVIDIA's deployment guide recommends."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Literal

import psutil
from tritonclient.utils import InferenceServerException

from exporters.conversion import CONVERTED
from modelport.environment import SetupError, shared_library
from modelport.exporting import convert_missing
from modelport.stack.diagnosis import Sight
from modelport.stack.errors import StartError
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.server import LOOPBACK, Server
from modelport.stack.sight import runs
from modelport.stack.stubs import Stubs
from modelport.stack.triton_distribution import Distribution

DRAIN_S = 5
REPLACE_TIMEOUT_S = 120.0
UNLOAD_S = 20.0  # after which a process that does not end is killed
# only the owner of the process may call these; metadata, health, inference, statistics and model-config stay open
RESTRICTED = "model-repository,shared-memory,trace,logging"
SECRET_HEADER = "modelport-admin"  # noqa: S105 (its name, not its value)
GRPC_HEADER = "triton-grpc-protocol-"  # before the names of secrets in gRPC metadata
# Requests with a trace context are always traced; of the others, golden checks most of all, one in so many.
TRACE = ("mode=opentelemetry", "level=TIMESTAMPS", f"rate={2**31 - 1}", "opentelemetry,resource=service.name=triton")
STUB_TIMEOUT_S = 120  # Triton's 30 s are few for several frameworks that import at once on two cores
MAX_ZOMBIES = 20
LOADED = re.compile(r"successfully loaded '([\w.-]+)'")
HARMLESS = ("CudaDriverHelper has not been initialized.",)  # said by every start without a GPU
ERROR_LINE = re.compile(r'^E\d{4} \S+ \d+ \S+\] "?(?P<message>.*?)(?:\\n|"?$)|^error: (?P<fatal>.*)', re.MULTILINE)


@dataclass(frozen=True)
class TritonSettings:
    """Where a Triton listens and what it serves: these models, or all of the repository where none is named.

    A stack has names for its Tritons by which a person, and the stack, tell them apart. Spans of requests that come
    with a trace context are sent to `trace_url`, OTLP over HTTP.
    """

    repository: Path
    log_file: Path
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    models: tuple[str, ...] = ()
    start_timeout_s: float = 600.0  # a busy machine loads for long: what fails ends by itself
    name: str = "Triton"
    trace_url: str = ""
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


class TritonServer(Server):
    """Owns the server process and all that it starts.

    Ready means that Triton says so; it does even when a backend process is dead, so send an inference too.

    Args:
        distribution: the laid-out Triton.
        settings: repository, ports, log file.
    """

    def __init__(self, distribution: Distribution, settings: TritonSettings) -> None:
        self.settings = settings
        self._shm_prefix = f"modelport-{os.getpid()}-{settings.http_port}-"
        process = GuardedProcess(
            command=[str(distribution.server), *arguments(distribution, settings, self._shm_prefix)],
            environment=environment(distribution),
            log_file=settings.log_file,
            folder=distribution.folder,  # a stub's sys.path begins with its working directory
            grace_s=DRAIN_S + 5,
            shm_prefix=self._shm_prefix,
        )
        super().__init__(settings.name, process, settings.http_port, settings.start_timeout_s)
        self._models = settings.models
        self._stubs = Stubs(self._shm_prefix)
        self._control = RLock()  # Triton loads and unloads one model at a time: two at once have crashed it

    def start(self) -> None:
        """Start the process with the models that it had, or is configured to have; returns before it is ready."""
        self._convert(self._models or [path.name for path in self.settings.repository.iterdir()])
        self._stubs.forget_all()
        self._process.start([f"--load-model={model}" for model in self._models])

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it is configured to serve."""
        return self._models

    def model_sight(self, model: str, owes: bool = False, wrong: bool = False) -> Sight:
        """What is seen of a model's processes.

        Args:
            model: one of `models`.
            owes: whether its answer is overdue.
            wrong: whether its golden check fails by anything but lateness.
        """
        return self._stubs.sight(self._models, model, owes, wrong)

    def worn(self) -> str | None:
        """What speaks for a new start: Triton keeps the threads, and the zombie, of each process that died busy."""
        zombies = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(pid).children() if (pid := self._process.pid()) else []
            zombies = sum(child.status() == psutil.STATUS_ZOMBIE for child in children)
        return f"has {zombies} dead processes of models" if zombies >= MAX_ZOMBIES else None

    def replace_model(self, model: str, kill: bool = True) -> None:
        """Load a model anew, beside the others, which go on serving.

        Args:
            model: which; one that was unloaded meanwhile is left alone.
            kill: end its processes first: unloading waits for a stalled one for ever. Triton keeps something of each
                process that was killed, see `worn`; it keeps nothing of those that it ends itself.

        Raises:
            StartError: Triton could not load it.
        """
        with self._control:
            if model not in self._models:
                return
            if kill:
                self._stubs.kill(model)
            self._unload(model)
            self._tell(model, "load")

    def load_model(self, model: str) -> None:
        """Load one more model; a restart loads it, too.

        Raises:
            StartError: Triton could not load it.
        """
        self._convert([model])
        with self._control:
            self._tell(model, "load")
            self._models = (*self._models, model)

    def unload_model(self, model: str) -> None:
        """Unload a model and forget it, once the inferences under way have their answers; its processes are gone then.

        Raises:
            StartError: Triton could not unload it; it is forgotten all the same.
        """
        with self._control:
            self._models = tuple(name for name in self._models if name != model)
            self._unload(model)

    def _unload(self, model: str) -> None:
        pids = self._stubs.scan([model])[model]
        try:
            self._tell(model, "unload")
            deadline = time.monotonic() + UNLOAD_S
            while any(map(runs, pids)) and time.monotonic() < deadline:  # Triton answers before they have ended
                time.sleep(0.05)
            self._stubs.kill(model)
        finally:
            self._stubs.forget(model)

    def _convert(self, models: Sequence[str]) -> None:
        """What our PyTorch backend reads has to be there before Triton loads it."""
        try:
            convert_missing([self.settings.repository / model for model in models])
        except SetupError as error:
            raise StartError(str(error)) from error

    def _tell(self, model: str, step: Literal["load", "unload"]) -> None:
        """Over gRPC: in the HTTP server, a load takes one of the threads that carry requests to all models."""
        from tritonclient.grpc import InferenceServerClient  # not at import: KServe's generated code has the same names

        headers = {f"{GRPC_HEADER}{SECRET_HEADER}": self.settings.secret}
        with InferenceServerClient(f"{LOOPBACK}:{self.settings.grpc_port}") as client:
            call = client.load_model if step == "load" else client.unload_model
            try:
                call(model, headers=headers, client_timeout=REPLACE_TIMEOUT_S)
            except InferenceServerException as error:
                raise StartError(f"Triton could not {step} {model}: {error.message()}") from error

    def progress(self) -> list[str]:
        """The models that it has loaded."""
        return [f"loaded {match[1]}" for match in LOADED.finditer(self.log())]

    def errors(self, last: int = 3) -> list[str]:
        """The last different error messages in the log, without their stack traces."""
        messages = [match["message"] or match["fatal"] for match in ERROR_LINE.finditer(self.log())]
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        return list(dict.fromkeys(message for message in messages if message not in HARMLESS))[-last:] or lines[-1:]


def environment(distribution: Distribution) -> dict[str, str]:
    """The environment in which the server finds its libraries, and its stubs this Python and its packages.

    A stub's interpreter is isolated (it ignores PYTHONPATH) but takes the first python3 in PATH for its own and honours
    the pyvenv.cfg beside it. This Python's library folder comes before the wheel's, which carries another libpython.
    """
    library = shared_library()
    if library is None:
        raise StartError(f"{sys.executable} has no shared library, which Triton needs: remove .venv and run again")
    return {
        **os.environ,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "LD_LIBRARY_PATH": os.pathsep.join((str(library.parent), str(distribution.libraries))),
        "MODELPORT_CONVERTED": str(CONVERTED),
    }


def arguments(distribution: Distribution, settings: TritonSettings, shm_prefix: str) -> list[str]:
    """Command line of the server."""
    restricted = f"{RESTRICTED}:{SECRET_HEADER}={settings.secret}"
    return [
        f"--model-repository={settings.repository}",
        f"--backend-directory={distribution.backends}",
        f"--model-control-mode={'explicit' if settings.models else 'none'}",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
        f"--exit-timeout-secs={DRAIN_S}",
        f"--http-address={LOOPBACK}",
        f"--http-port={settings.http_port}",
        f"--http-restricted-api={restricted}",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={settings.grpc_port}",
        f"--grpc-restricted-protocol={restricted}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={settings.metrics_port}",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        # settings of the Python backend hold for the backends that are built on it
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_S}",
        *(f"--trace-config={text}" for text in (TRACE if settings.trace_url else ())),
        *([f"--trace-config=opentelemetry,url={settings.trace_url}"] if settings.trace_url else []),
    ]
