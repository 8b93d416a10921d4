"""A stack on free ports, started like `modelport serve`, and its processes."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from modelport.environment import ROOT, CommandError
from modelport.measure.torture.outcome import Outcome
from modelport.services import load
from modelport.stack.server import LOOPBACK, exchange, free_ports
from modelport.stack.stubs import STUB

SERVICES = ("detector", "classifier")
CHAIN = ("efficientnet_lite0", "efficientnet_lite0_spare")  # both trained: an untrained model is not a spare
START_S = 600.0
RECOVER_S = 300.0  # only a fault takes longer
TRITON, TRANSFORMER = "bin/tritonserver", "kserve_transformers"


class TortureError(CommandError):
    """The run cannot continue; the message says why."""


def copy_repository(folder: Path, services: Sequence[str] = SERVICES) -> Path:
    """A copy of the model repository that faults may damage; the classifier has one model and a spare copy of it."""
    source, repository = ROOT / "model_repository", folder / "repository"
    shutil.rmtree(repository, ignore_errors=True)
    named = [(model, model) for service in services if service != "classifier" for model in load()[service].models]
    named += [(CHAIN[0], name) for name in CHAIN] if "classifier" in services else []
    for model, name in named:
        versions = [path.name for path in (source / model).glob("[0-9]*") if any(path.iterdir())]
        if not versions:
            raise TortureError(f"model {model} is not built: run `make export`")
        newest = max(versions, key=int)
        ignored = shutil.ignore_patterns(*(version for version in versions if version != newest))
        shutil.copytree(source / model, repository / name, ignore=ignored)
        config = repository / name / "config.pbtxt"
        config.write_text(config.read_text().replace(f'name: "{model}"', f'name: "{name}"'))
    return repository


class Served:
    """`modelport serve` as a child process; it ends with the block, or with this process.

    Args:
        log_file: of its output.
        repository: of models, see `copy_repository`.
        services: that it serves.
        wrapper: a command in front of it, for a namespace of its own for instance.
        options: of the transformer.
    """

    def __init__(
        self,
        log_file: Path,
        repository: Path,
        services: Sequence[str] = SERVICES,
        wrapper: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        self.port, _, self.triton_port, *_ = free_ports(5)
        self.url = f"http://{LOOPBACK}:{self.port}"  # gRPC has the next port
        self.repository = repository
        self.log_file = log_file
        options = [*options, f"--services={','.join(services)}", f"--port={self.port}"]
        options += [f"--triton-port={self.triton_port}", f"--chain=classifier={','.join(CHAIN)}", "--die-with-parent"]
        options += [f"--repository={repository}"]
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-P", "-m", "modelport.stack", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )
        self.memory = Memory(self)

    def __enter__(self) -> Self:
        self.memory.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.stop()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_until_ready(self) -> Self:
        """Wait for its ready line.

        Raises:
            TortureError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + START_S
        while "ready: http" not in self.log():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TortureError(f"the stack did not start: {self.log().strip().splitlines()[-1:]}")
            time.sleep(0.1)
        return self

    def log(self) -> str:
        """Its output so far."""
        return self.log_file.read_text(errors="replace")

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Its processes whose command has a word in it, without the guards."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    command = " ".join(child.cmdline()[:3])
                    if word in command and "guard.py" not in command:
                        found.append(child)
        return found

    def stubs(self, model: str) -> list[psutil.Process]:
        """The processes of a model."""
        return [process for process in self.processes(STUB) if f"/{model}/" in " ".join(process.cmdline())]

    def stub(self, model: str) -> psutil.Process:
        """The first process of a model."""
        return self.stubs(model)[0]

    def server(self, word: str) -> psutil.Process:
        """The process of Triton or of the transformer: the first whose command has a word in it."""
        return self.processes(word)[0]

    def models(self) -> dict[str, bool] | None:
        """Which models are ready by the readiness report; None without an answer."""
        status, report = self.get("/v2/health/ready")
        if status is None or not isinstance(report, dict):
            return None
        services = report["services"].values()
        return {name: model["ready"] for service in services for name, model in service["models"].items()}

    def all_ready(self) -> bool:
        """Whether every model is ready."""
        models = self.models() or {}
        return bool(models) and all(models.values())

    def get(self, path: str, port: int | None = None, timeout_s: float = 1.0) -> tuple[int | None, Any]:
        """GET a path; returns status and JSON, each None without an answer."""
        return self._exchange(port or self.port, path, b"", {}, timeout_s)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, Any]:
        """POST to a path; returns status and JSON, each None without an answer."""
        return self._exchange(self.port, path, body, headers, 40.0)

    @staticmethod
    def _exchange(
        port: int, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> tuple[int | None, Any]:
        try:
            status, answer = exchange(port, path, body, headers, timeout_s)
            return status, json.loads(answer)
        except (OSError, ValueError):
            return None, None


class Memory:
    """The peak memory of a running stack: proportional set sizes, so that shared pages count once."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.transformer_mb = self.stack_mb = 0

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End sampling."""
        self._ended.set()
        self._thread.join()

    def reset(self) -> None:
        """Begin with new peaks."""
        self.transformer_mb = self.stack_mb = 0

    def add_to(self, outcome: Outcome) -> Outcome:
        """The outcome with the peaks since the last reset."""
        return dataclasses.replace(outcome, transformer_mb=self.transformer_mb, stack_mb=self.stack_mb)

    def _sample(self) -> None:
        while not self._ended.wait(0.5):
            total = 0.0
            for process in self._served.processes():
                with contextlib.suppress(psutil.Error):
                    used = process.memory_full_info().pss / 2**20
                    total += used
                    if TRANSFORMER in " ".join(process.cmdline()[:3]):
                        self.transformer_mb = max(self.transformer_mb, round(used))
            self.stack_mb = max(self.stack_mb, round(total))


def own_disk(folder: str, size: str) -> tuple[str, ...]:
    """A wrapper that gives a stack a file system of its own at a folder, of a size as mount takes it.

    In a mount namespace, so that the machine's is not touched; empty without the right to mount.
    """
    mount = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if os.geteuid() or shutil.which("unshare") is None:
        return ()
    return () if subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode else wrapper


def wait_for(condition: Callable[[], bool], seconds: float) -> float | None:
    """Wait for a condition; returns the seconds it took, or None. A pause of the whole machine counts as one second."""
    took, last = 0.0, time.monotonic()
    while took < seconds:
        if condition():
            return took
        time.sleep(0.05)
        now = time.monotonic()
        took, last = took + min(now - last, 1.0), now
    return None
