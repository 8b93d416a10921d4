"""Traffic, hostile files, faults and updates for a stack, and what is measured meanwhile."""

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from modelport.measure.generator.requests import Record
from modelport.measure.soak.slopes import Slope, slope
from modelport.measure.torture.outcome import HONEST, Outcome, judge, tally
from modelport.measure.torture.served import RECOVER_S, TRANSFORMER, TRITON, Served, wait_for
from modelport.measure.traffic import LIGHT, begin, requests
from modelport.stack.control import ask
from modelport.stack.errors import StackError
from modelport.stack.running import run_folder
from modelport.stack.stubs import STUB
from modelport.stack.triton_server import MAX_ZOMBIES

SAMPLE_S, TROUBLE_S, PART_S = 5.0, 60.0, 300.0
RATE = 3.0  # requests per second
UPDATED, MODEL, RELEASE = "digits", "mnist", "soak"
REFUSALS = frozenset({"200", "400", "413", "415", "422"})  # what a hostile file may get, beside HONEST
SERVERS = {TRITON: "Triton", TRANSFORMER: "transformer", "modelport.stack": "supervisor"}


def own_mb(pid: int) -> float:
    """What a process has allocated. Its share of the files that it maps varies with who else on the machine does."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) / 1024


@dataclass
class Soak:
    """A stack and what is done to it.

    Args:
        served: the stack.
        release: a folder with another release of UPDATED.
        temporary: the folder of its temporary files.
    """

    served: Served
    release: Path
    temporary: Path
    at_s: list[float] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    hostile: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    updated: bool = False  # whether RELEASE answers for UPDATED
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 (no secret)

    def run(self, minutes: float) -> None:
        """Send traffic, files and troubles for some minutes, and measure."""
        ended = threading.Event()
        workers = [threading.Thread(target=work, args=(ended,)) for work in (self._be_hostile, self._make_trouble)]
        for worker in workers:
            worker.start()
        end = time.monotonic() + 60 * minutes
        while (left := end - time.monotonic()) > 0:
            running = begin(self.served.url, (*LIGHT, UPDATED), rate=RATE)
            part = time.monotonic() + min(PART_S, left)
            while time.monotonic() < part and self.served.process.poll() is None:
                self._sample()
                time.sleep(min(SAMPLE_S, max(0.0, part - time.monotonic())))
            self.records += running.stop()
            if self.served.process.poll() is not None:
                self.broken.append(f"the stack ended: {self.served.log().strip().splitlines()[-1:]}")
                break
        ended.set()
        for worker in workers:
            worker.join()

    def _sample(self) -> None:
        figures = {"processes": 0.0, "models: MB": 0.0}
        stack = psutil.Process(self.served.process.pid)
        for process in [stack, *self.served.processes()]:
            with contextlib.suppress(psutil.Error, OSError):
                command = " ".join(process.cmdline()[:5])
                figures["processes"] += process.status() != psutil.STATUS_ZOMBIE
                if STUB in command:
                    figures["models: MB"] += own_mb(process.pid)
                for word, what in SERVERS.items():
                    if word in command:
                        figures[f"{what}: MB"] = own_mb(process.pid)
                        figures[f"{what}: threads"] = process.num_threads()
                        figures[f"{what}: files"] = process.num_fds()
        figures["temporary files"] = sum(len(files) for _, _, files in os.walk(self.temporary))
        figures["files of the run"] = sum(len(files) for _, _, files in os.walk(run_folder(self.served.port)))
        self.at_s.append(time.monotonic())
        for name, value in figures.items():
            self.series.setdefault(name, []).append(value)
        lengths = {len(values) for values in self.series.values()}
        if lengths != {len(self.at_s)}:  # a server was just being started again
            self.at_s.pop()
            self.series = {known: values[: len(self.at_s)] for known, values in self.series.items()}

    def _be_hostile(self, ended: threading.Event) -> None:
        """Images that are cut, changed or none at all, to every service that takes them."""
        kinds = requests()
        while not ended.wait(0.5):
            request = kinds[self.random.choice(["classifier", "detector V2", UPDATED])]
            body = bytearray(request.body)
            for _ in range(self.random.choice([1, 8, 200])):
                body[self.random.randrange(len(body))] = self.random.randrange(256)
            body = body[: self.random.choice([len(body), self.random.randrange(1, len(body))])]
            headers = {**request.headers, "content-length": str(len(body))}
            status, _ = self.served.post(request.path, bytes(body), headers)
            self.hostile[str(status)] += 1

    def _make_trouble(self, ended: threading.Event) -> None:
        """Kill or stop the process of a model, or update a service, in turn."""
        while not ended.wait(TROUBLE_S):
            stubs = self.served.processes(STUB)
            if len(self.troubles) % 2:
                self._update()
            elif stubs:
                stub = self.random.choice(stubs)
                harm = self.random.choice([signal.SIGKILL, signal.SIGSTOP])
                self.troubles.append(f"{harm.name} to {Path(stub.cmdline()[1]).parent.parent.name}")
                stub.send_signal(harm)
            if wait_for(self.served.all_ready, RECOVER_S) is None:
                self.broken.append(f"not ready again after {self.troubles[-1:]}")

    def _update(self) -> None:
        release = "initial" if self.updated else RELEASE
        self.troubles.append(f"update to {release}")
        command = {"service": UPDATED, "release": release, "folder": str(self.release)}
        try:
            ask(self.served.port, command, lambda text: None)
            self.updated = not self.updated
        except StackError as error:
            self.broken.append(f"the update to {release} failed: {error}")

    def outcome(self) -> tuple[Outcome, list[Slope]]:
        """What callers saw, and the slopes."""
        slopes = [slope(name, self.at_s, values) for name, values in sorted(self.series.items())]
        outcome = judge(self.records, HONEST)
        strange = {status: count for status, count in self.hostile.items() if status not in REFUSALS | HONEST}
        broken = [*outcome.broken, *self.broken]
        broken += [f"hostile files got {strange}"] if strange else []
        broken += [f"{one.name} grows" for one in slopes if not one.flat]
        children = [child for triton in self.served.processes(TRITON) for child in triton.children()]
        zombies = sum(child.status() == psutil.STATUS_ZOMBIE for child in children)
        broken += [f"{zombies} dead processes"] if zombies > MAX_ZOMBIES + 2 else []
        note = f"{len(self.troubles)} troubles; hostile files got {tally(self.hostile)}; {zombies} zombies"
        return dataclasses.replace(outcome, fault="soak", note=note, broken=tuple(broken)), slopes
