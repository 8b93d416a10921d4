"""A shadow that is identical, slow, hangs or crashes: its service's callers are measured with and without it.

Two stacks serve the same models behind the Envoy of the overlay `shadow`; the shadow has processors of its own where
there are two or more, as it has on another node of a cluster. Turns with and without copies of all requests alternate.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil

from exporters import statistics
from exporters.statistics import Estimate
from kserve_transformers.record.events import ORIGIN
from kserve_transformers.record.reading import Reader
from modelport.manifests.findings import at
from modelport.manifests.release_file import FIRST_RELEASE, Choice, edited, release_file
from modelport.manifests.rendering import MANIFESTS, render
from modelport.measure.generator.load import Load, RunningLoad
from modelport.measure.generator.requests import Record
from modelport.measure.torture.outcome import LONGEST_MS, SUCCEEDED, Outcome, judge
from modelport.measure.torture.served import RECOVER_S, TRANSFORMER, Served, copy_repository, wait_for
from modelport.measure.traffic import requests
from modelport.releases.judging import pairs
from modelport.stack.envoy.counters import Counters, read_counters
from modelport.stack.envoy.server import Envoy
from modelport.stack.server import LOOPBACK, free_ports

SERVICE, SHADOW, ROUTE = "digits", "digits-shadow", "modelport-digits"
CALLERS, THINK_S = 4, 0.06  # so few that they never fill a queue, however slow the machine is
TURN_S, TURNS = 4.0, 3  # with the shadow, and as many without it
SETTLE_S = 2.0  # until the recorders have written what ended
_RUNNING_S, _STOPPED_S = 0.1, 0.9

Harm = Callable[[Served], AbstractContextManager[None]]


@contextlib.contextmanager
def _slow(shadow: Served) -> Iterator[None]:
    """Its server runs for a tenth of the time."""
    server, ended = shadow.server(TRANSFORMER), threading.Event()

    def hold() -> None:
        while not ended.wait(_RUNNING_S):
            server.suspend()
            ended.wait(_STOPPED_S)
            server.resume()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _hanging(shadow: Served) -> Iterator[None]:
    """None of its processes runs, those that would replace it neither."""
    processes = [psutil.Process(shadow.process.pid), *shadow.processes()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextlib.contextmanager
def _crashing(shadow: Served) -> Iterator[None]:
    """Its server is killed, and its stack starts it again."""
    shadow.server(TRANSFORMER).send_signal(signal.SIGKILL)
    yield


HARMS: dict[str, Harm] = {
    "identical": lambda shadow: contextlib.nullcontext(),
    "slow": _slow,
    "hanging": _hanging,
    "crashing": _crashing,
}


def beside(folder: Path) -> Outcome:
    """No caller fails, and every copy is accounted for; what the callers' p99 is with and without it is reported."""
    record, repository = folder.resolve() / "record-shadow", copy_repository(folder, (SERVICE,))
    shutil.rmtree(record, ignore_errors=True)
    ours, its = _halves(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:

        def serve(name: str, processors: set[int]) -> Served:
            with _on(processors):
                log, origin = folder / f"{name}.log", ("env", f"{ORIGIN}={name}-predictor")
                served = Served(log, repository, (SERVICE,), origin, (f"--record={record}",))
                return stack.enter_context(served)

        stack.enter_context(_on(ours))
        stable, shadow = serve(SERVICE, ours), serve(SHADOW, its)
        for served in (stable, shadow):
            served.wait_until_ready()
            served.memory.stop()  # it takes processor time
        gateway = _Gateway(folder, {SERVICE: stable.port, SHADOW: shadow.port})
        stack.callback(gateway.envoy.stop)
        gateway.envoy.start()
        gateway.envoy.wait_until_ready()
        found = {name: _measured(gateway, harm, shadow, record) for name, harm in HARMS.items()}
    records = [record for one in found.values() for record in one.records]
    outcome = judge(records, SUCCEEDED, deadline_s=LONGEST_MS / 1000)
    broken = (*outcome.broken, *(f"{name}: {why}" for name, one in found.items() for why in one.broken))
    note = "; ".join(f"{name}: {one.told()}" for name, one in found.items())
    return dataclasses.replace(outcome, note=note, broken=broken)


class _Gateway:
    """Envoy as the overlay `shadow` configures it for one service; `copies` says how many per cent are copied."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self._documents = _documents()
        self._addresses = {name: (LOOPBACK, port) for name, port in ports.items()}
        self.port, self.admin_port = free_ports(2)
        self.envoy = Envoy(self._copying(0), self._addresses, self.port, self.admin_port, folder)

    def copy(self, percent: int) -> None:
        """Copy a share of the requests from now on."""
        self.envoy.move(self._copying(percent), self._addresses)

    def counters(self) -> Counters:
        """Of the copies."""
        return read_counters(self.admin_port)[f"{ROUTE}/{SHADOW}"]

    def _copying(self, percent: int) -> list[dict[str, Any]]:
        documents = copy.deepcopy(self._documents)
        (route,) = (one for one in documents if one["kind"] == "HTTPRoute")
        route["spec"]["rules"][0]["filters"][0]["requestMirror"]["percent"] = percent
        return documents


def _documents() -> list[dict[str, Any]]:
    """The overlay `shadow`, of whose routes the service's alone is left."""
    with tempfile.TemporaryDirectory(prefix="modelport-manifests-") as scratch:
        manifests = Path(shutil.copytree(MANIFESTS, Path(scratch) / "manifests"))
        file = release_file(manifests)
        choice = Choice(FIRST_RELEASE, FIRST_RELEASE, 0, FIRST_RELEASE, 100)
        file.write_text(edited(file.read_text(), SERVICE, choice))
        documents = render("shadow", manifests)
    return [dict(one) for one in documents if one["kind"] != "HTTPRoute" or at(one, "metadata.name") == ROUTE]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What callers saw in turns without and with copies, and what became of the copies."""

    without: Sequence[Record]
    beside: Sequence[Record]
    copies: pairs.Account

    @property
    def records(self) -> Sequence[Record]:
        """Of all turns."""
        return [*self.without, *self.beside]

    @property
    def broken(self) -> list[str]:
        """Copies that are not accounted for."""
        asked = len(self.beside)
        return [] if self.copies.copies == asked else [f"{self.copies.copies} copies of {asked} requests"]

    def told(self) -> str:
        """The p99 of both kinds of turns in ms, their ratio, and the account of the copies."""
        without, beside = _ms(self.without), _ms(self.beside)
        if not (without and beside):
            return "no answers"
        ratio = statistics.ratio_of_percentiles(beside, without, 99)
        rows = ", ".join(f"{count} {name}" for name, count in self.copies.rows())
        p99s = [_told(statistics.percentile(side, 99)) for side in (without, beside)]
        return f"p99 {p99s[0]} ms without, {p99s[1]} ms with it, ratio {_told(ratio)}; {rows}"


def _measured(gateway: _Gateway, harm: Harm, shadow: Served, record: Path) -> Measured:
    since, before = time.time(), gateway.counters()
    without: list[Record] = []
    beside: list[Record] = []
    for _ in range(TURNS):
        wait_for(shadow.all_ready, RECOVER_S)
        without += _turn(gateway)
        gateway.copy(100)
        with harm(shadow):
            beside += _turn(gateway)
        gateway.copy(0)
    wait_for(lambda: shadow.all_ready() and not gateway.counters().active, RECOVER_S)
    time.sleep(SETTLE_S)
    account = pairs.account(Reader(str(record), SERVICE), FIRST_RELEASE, since)
    now = gateway.counters()
    pairs.count_lost(account, dataclasses.replace(now - before, active=now.active), 100)
    return Measured(without, beside, account)


def _turn(gateway: _Gateway) -> list[Record]:
    request = requests()[SERVICE]
    request = dataclasses.replace(request, headers={**request.headers, "x-request-timeout-ms": str(LONGEST_MS)})
    load = Load((request,), callers=CALLERS, think_s=THINK_S)
    running = RunningLoad(f"http://{LOOPBACK}:{gateway.port}", load)
    time.sleep(TURN_S)
    return running.stop()


def _ms(records: Sequence[Record]) -> list[float]:
    return [1000 * one.seconds for one in records if one.outcome == "200"]


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _halves(processors: set[int]) -> tuple[set[int], set[int]]:
    """Processors for what serves callers, and for the shadow; one alone is shared."""
    ordered = sorted(processors)
    half = (len(ordered) + 1) // 2
    return set(ordered[:half]), set(ordered[half:] or ordered)


@contextlib.contextmanager
def _on(processors: set[int]) -> Iterator[None]:
    """What is started in this block runs on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
