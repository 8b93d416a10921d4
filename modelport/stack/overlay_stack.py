"""The processes that an overlay declares, behind Envoy; they follow the release file while they run.

What is declared is a set of predictors, each of them a transformer in front of the Triton of its release. When the
release file changes, predictors that are new are started beside the others; once all of them gave their golden
samples' answers, Envoy moves to them; then what is no longer declared drains and ends. If a new one does not become
ready, Envoy never moves, and the next change is the next try.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from modelport.environment import say
from modelport.stack.envoy.server import Envoy
from modelport.stack.errors import StackError, StartError
from modelport.stack.model_supervisor import ModelSupervisor
from modelport.stack.overlay import Declared, OverlaySettings, Predictor
from modelport.stack.running import run_folder
from modelport.stack.server import LOOPBACK, Server, port_problem
from modelport.stack.supervisor import MAX_BACK_OFF_S, STEADY_S, Supervisor, stop_together
from modelport.stack.transformer_server import TransformerServer
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

FIRST_PORT = 10  # the transformers' ports begin so far above Envoy's
START_TIMEOUT_S = 600.0
_FILE_NAME = str.maketrans(" /", "--")
VERDICT_S = 20.0  # for the golden samples, once Triton has loaded the models and the transformer answers


@dataclass
class Change:
    """What is declared but not routed to yet."""

    declared: Declared  # all of it
    began: float  # when its predictors were started, by the monotonic clock
    answering: float | None = None  # since when all new Tritons are ready and all new transformers answer


class OverlayStack(Supervisor):
    """A Triton for each release, a transformer for each predictor, and Envoy in front."""

    def __init__(self, settings: OverlaySettings) -> None:
        super().__init__()
        self.settings = settings
        self._distribution = lay_out()
        self._tritons: dict[Path, TritonServer] = {}
        self._units: dict[Predictor, TransformerServer] = {}
        self._ports: dict[Server, list[int]] = {}  # of all servers of which something may be left
        self._ending: list[Thread] = []
        # a shadow is started beside what serves, as after a change: one that does not start keeps nobody waiting
        self.declared = settings.first.without_shadows()
        self._seen = (0, 0) if settings.first.shadows else self.declared.stamp
        self._due: dict[str, float] = {}  # when a server of a shadow that ended is started again
        self._change: Change | None = None
        for predictor in self.declared.predictors:
            self._add(predictor)
        self._envoy = Envoy(
            self.declared.documents,
            self._addresses(self.declared),
            settings.http_port,
            settings.http_port + 1,
            settings.logs,
            settings.host,
        )
        self._arrange()

    def triton_of(self, transformer: TransformerServer) -> TritonServer:
        """The one of its release."""
        (predictor,) = [known for known, unit in self._units.items() if unit is transformer]
        return self._tritons[predictor.repository]

    def check(self) -> None:
        """Look after what serves, and follow the release file."""
        super().check()
        stamp = self._seen
        with contextlib.suppress(FileNotFoundError):  # an editor is at work
            stamp = self.settings.stamp()
        if stamp != self._seen:
            self._seen = stamp
            self._begin()
        if self._change is not None:
            self._go_on(self._change)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End all servers, those too that are starting or ending."""
        stop_together([*self._units.values()], number)
        self._envoy.stop(number)
        stop_together([*self._tritons.values()], number)
        for thread in self._ending:
            thread.join()
        shutil.rmtree(run_folder(self.settings.http_port), ignore_errors=True)

    def _revive(self, server: Server, why: str) -> None:
        """Callers are not to notice what happens to a shadow: nobody waits for it, and nothing else ends with it."""
        if server.name not in self._shadow_servers():
            super()._revive(server, why)
            return
        now = time.monotonic()
        if server.name not in self._due:
            steady = now - self._started[server.name] > STEADY_S
            self._failures[server.name] = 1 if steady else self._failures.get(server.name, 0) + 1
            delay_s = min(2.0 ** (self._failures[server.name] - 1), MAX_BACK_OFF_S)
            self._due[server.name] = now + delay_s
            say(f"{server.name} {why}: starting it again in {delay_s:g} s; it is a shadow, callers are not concerned")
        elif now > self._due[server.name]:
            del self._due[server.name]
            server.start()
            self._started[server.name] = now
            self._diagnoses.pop(server.name, None)

    def _shadow_servers(self) -> set[str]:
        """Names of the servers that only shadows need."""
        shadows = self.declared.shadows
        real = {p.repository for p in self.declared.predictors if p.endpoint not in shadows}
        own = [p for p in self.declared.predictors if p.endpoint in shadows]
        tritons = [self._tritons[p.repository].name for p in own if p.repository not in real]
        return {*tritons, *(self._units[p].name for p in own)}

    def _begin(self) -> None:
        """Start what is declared now and does not run yet; what was starting and is not declared now is given up."""
        self._change = None
        try:
            declared = self.settings.read()
        except StackError as error:
            say(f"nothing is changed: {error}", error=True)
            self._end_the_rest()
            return
        fresh = [predictor for predictor in declared.predictors if predictor not in self._units]
        if fresh:
            say("starting " + ", ".join(predictor.name for predictor in fresh))
        for predictor in fresh:
            for server in self._add(predictor):
                server.start()
        self._change = Change(declared, time.monotonic())
        self._end_the_rest()

    def _go_on(self, change: Change) -> None:
        """Move to what was started, once all of it is ready; give it up when it does not become so."""
        fresh = [predictor for predictor in change.declared.predictors if predictor not in self.declared.predictors]
        reason = self._failure(change, fresh)
        if reason is None:
            if not all(self._units[predictor].all_models_ready() for predictor in fresh):
                return
            try:
                self._envoy.move(change.declared.documents, self._addresses(change.declared))
            except StartError as error:
                reason = str(error)
        self._change = None
        if reason is None:
            self.declared = change.declared
            self._arrange()
            say("\n".join([f"moved after {time.monotonic() - change.began:.1f} s", *self.declared.lines()]))
        else:
            say(f"nothing is changed: {reason}; the next change of the release file is the next try", error=True)
        self._end_the_rest()

    def _failure(self, change: Change, fresh: Sequence[Predictor]) -> str | None:
        """Why the new predictors will not become ready, None as long as they may."""
        transformers = [self._units[predictor] for predictor in fresh]
        tritons = list(dict.fromkeys(self._tritons[predictor.repository] for predictor in fresh))
        for server in (*tritons, *transformers):
            if not server.is_alive():
                return f"{server.name} ended ({server.ending()}): {'; '.join(server.errors())}"
        now = time.monotonic()
        if all(t.is_ready() for t in tritons) and all(t.services() for t in transformers):
            change.answering = change.answering or now
        late = change.answering is not None and now - change.answering > VERDICT_S
        if late or now - change.began > START_TIMEOUT_S:
            unready = [t for t in transformers if not t.all_models_ready()]
            if unready:
                return f"{unready[0].name} is not ready: {'; '.join(unready[0].errors())}"
        return None

    def _add(self, predictor: Predictor) -> list[Server]:
        """The servers of a predictor, not started; a Triton only where its release has none yet."""
        added: list[Server] = []
        settings = self.settings
        if predictor.repository not in self._tritons:
            http, grpc, metrics = ports = self._free_ports(settings.triton_http_port, 3)
            service_and_release = "/".join(predictor.repository.parts[-2:])
            name = "Triton" if predictor.repository == settings.repository else f"Triton of {service_and_release}"
            triton = TritonServer(
                self._distribution,
                TritonSettings(
                    predictor.repository,
                    settings.logs / f"{name.lower().translate(_FILE_NAME)}.log",
                    http,
                    grpc,
                    metrics,
                    models=settings.models_of(predictor.repository),
                    name=name,
                    trace_url=settings.trace_url,
                ),
            )
            self._tritons[predictor.repository] = triton
            self._ports[triton] = ports
            added.append(triton)
        ports = self._free_ports(settings.http_port + FIRST_PORT, 2)
        triton_port = self._tritons[predictor.repository].http_port
        unit = TransformerServer(predictor.transformer(settings.logs, triton_port, ports[0], settings.options))
        self._units[predictor] = unit
        self._ports[unit] = ports
        return [*added, unit]

    def _addresses(self, declared: Declared) -> dict[str, tuple[str, int]]:
        return {p.endpoint: (LOOPBACK, self._units[p].http_port) for p in declared.predictors}

    def _arrange(self) -> None:
        """Supervise what is routed to."""
        repositories = dict.fromkeys(predictor.repository for predictor in self.declared.predictors)
        units = {predictor: self._units[predictor] for predictor in self.declared.predictors}
        tritons, shadows = [self._tritons[repository] for repository in repositories], self.declared.shadows
        self.transformers = tuple(units.values())
        self.servers = (*tritons, self._envoy, *self.transformers)
        self.model_supervisors = tuple(
            ModelSupervisor(
                self._tritons[repository],
                # the word of a shadow counts where nobody else uses the model
                [unit for p, unit in units.items() if p.repository == repository and p.endpoint not in shadows]
                or [unit for p, unit in units.items() if p.repository == repository],
            )
            for repository in repositories
        )
        for server in self.servers:
            self._started.setdefault(server.name, time.monotonic())
        self.tell(self.settings.http_port, self.settings.repository, self.settings.overlay)

    def _end_the_rest(self) -> None:
        """Let what is neither routed to nor about to be drain and end, while we go on."""
        keep = {*self.declared.predictors, *(self._change.declared.predictors if self._change else ())}
        units = [self._units.pop(predictor) for predictor in [*self._units] if predictor not in keep]
        repositories = {predictor.repository for predictor in keep}
        tritons = [self._tritons.pop(repository) for repository in [*self._tritons] if repository not in repositories]
        if units or tritons:
            self._ending.append(Thread(target=self._end, args=(units, tritons), daemon=True))
            self._ending[-1].start()

    def _end(self, transformers: Sequence[TransformerServer], tritons: Sequence[TritonServer]) -> None:
        stop_together(transformers)
        stop_together(tritons)
        for server in (*transformers, *tritons):
            del self._ports[server]

    def _free_ports(self, first: int, count: int) -> list[int]:
        """The first consecutive ports that neither we nor others use.

        Those of a server that ends are its own until it is gone, and with them the shared memory that is named after
        them.
        """
        taken = {port for ports in [*self._ports.values()] for port in ports}
        for start in range(first, 65536 - count, count):
            ports = [*range(start, start + count)]
            if taken.isdisjoint(ports) and not any(map(port_problem, ports)):
                return ports
        raise StackError(f"there are no {count} free ports above {first}")
