"""Servers that are started, supervised and stopped together."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Thread

from modelport.environment import say
from modelport.stack.diagnosis import Diagnosis, Verdict
from modelport.stack.errors import StackError, StartError
from modelport.stack.model_supervisor import ModelSupervisor
from modelport.stack.running import Running, exported, newer
from modelport.stack.server import Server
from modelport.stack.transformer_server import TransformerServer
from modelport.stack.triton_server import TritonServer

CHECK_INTERVAL_S = 1.0
REMIND_ROUNDS = 10
FALLBACKS_S = 10.0
MAX_BACK_OFF_S = 30.0
STEADY_S = 60.0  # a server that ran this long starts its count of failures anew
MAX_FAILURES = 5


class Supervisor(ABC):
    """Tritons, the transformers in front of them, and what else there is.

    `servers` are all of them, a server before those that call it; `model_supervisors` one for each Triton.
    """

    servers: Sequence[Server] = ()
    transformers: Sequence[TransformerServer] = ()
    model_supervisors: Sequence[ModelSupervisor] = ()

    def __init__(self) -> None:
        self._began = time.time()
        self._running: Running | None = None
        self._reminded: set[str] = set()
        self._failures: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._diagnoses: dict[str, Diagnosis] = {}

    @abstractmethod
    def triton_of(self, transformer: TransformerServer) -> TritonServer:
        """The Triton that a transformer calls."""

    def start(self) -> None:
        """Start all at once and return when all are ready.

        Raises:
            StartError: one of them did not become ready; whatever was started is stopped.
        """
        try:
            for server in self.servers:
                server.start()
            for server in self.servers:
                server.wait_until_ready()
                self._started[server.name] = time.monotonic()
            self._wait_for_fallbacks()
        except BaseException:
            self.stop()
            raise

    def _wait_for_fallbacks(self) -> None:
        """A service is ready with one model of its chain: give the others a little time, so that people see all."""
        deadline = time.monotonic() + FALLBACKS_S
        while time.monotonic() < deadline:
            if all(transformer.all_models_ready() for transformer in self.transformers):
                return
            time.sleep(0.1)

    def tell(self, port: int, repository: Path, overlay: str = "") -> None:
        """Tell other processes what runs here."""
        transformers = {server.name: server.http_port for server in self.transformers}
        logs = [str(server.log_file) for server in self.servers]
        at_start = self._running.exported if self._running else exported(repository)
        self._running = Running(port, str(repository), overlay, transformers, logs, at_start, started=self._began)
        self._running.write()

    def remind(self) -> None:
        """Say, once a model, that it has been exported since the start, and how to serve it."""
        for model in self._running.newer() if self._running else ():
            if model not in self._reminded:
                self._reminded.add(model)
                say(newer(model))

    def supervise(self) -> None:
        """Supervise the servers and their models until an error ends it.

        Raises:
            StackError: a server ended again and again.
        """
        for round_ in count(1):
            self.check()
            if round_ % REMIND_ROUNDS == 0:
                self.remind()
            time.sleep(CHECK_INTERVAL_S)

    def check(self) -> None:
        """Restart servers that ended or stalled, and reload models that failed their golden checks.

        Raises:
            StackError: a server ended again and again.
        """
        for server in self.servers:
            if not server.is_alive():
                self._revive(server, f"ended ({server.ending()})")
            elif self._is_stalled(server):
                server.kill()
                self._revive(server, "stopped answering")
            elif worn := server.worn():
                server.stop()
                self._revive(server, worn)
        for model_supervisor in self.model_supervisors:
            model_supervisor.check()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the servers in order: the transformers, which drain, all at once, then who is called."""
        stop_together(self.transformers, number)
        for server in reversed(self.servers):
            server.stop(number)

    def _is_stalled(self, server: Server) -> bool:
        diagnosis = self._diagnoses.setdefault(server.name, Diagnosis())
        return diagnosis.judge(server.process_sight(owes=not server.answers())) is Verdict.STALLED

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
        self._diagnoses.pop(server.name, None)
        for model_supervisor in self.model_supervisors:
            model_supervisor.settle()


def stop_together(servers: Sequence[Server], number: signal.Signals = signal.SIGTERM) -> None:
    """End servers at the same time, as each drains; returns when nothing of them is left."""
    draining = [Thread(target=server.stop, args=(number,), daemon=True) for server in servers]
    for thread in draining:
        thread.start()
    for thread in draining:
        thread.join()
