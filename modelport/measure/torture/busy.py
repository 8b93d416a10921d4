"""Faults of the machine: others take its processors, its cache or its disk, and models are slow without being sick."""

import contextlib
import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import psutil

from modelport.measure.torture.outcome import Outcome, judge, p99_s
from modelport.measure.torture.served import CHAIN, RECOVER_S, Served, wait_for
from modelport.measure.traffic import begin

KINDS = ("detector V1", "classifier")
ALONE_S, PRESSED_S = 10.0, 60.0
PATIENT_MS = 20_000  # whoever has so much time is answered
REPLACED = "replacing its processes"  # in the log of a stack
SHARE, PERIOD_US = 0.1, 1_000_000  # throttled: 100 ms of every second
DISK_S = 10.0  # for which an artefact cannot be opened
CONTROL_GROUPS = Path("/sys/fs/cgroup")
DROP_CACHES = Path("/proc/sys/vm/drop_caches")

Press = Callable[[Served], AbstractContextManager[str | None]]


class Looks:
    """How often a stack's readiness was looked at, and how often it was not ready."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.count = self.unready = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            status, _ = self._served.get("/v2/health/ready", timeout_s=20)
            self.count += 1
            self.unready += status != 200


def pressed(
    press: Press, seconds: float = PRESSED_S, rate: float = 1.0, replaced: int = 0
) -> Callable[[Served], Outcome]:
    """A fault for which no request may fail, no model is called not ready, and none is replaced without need.

    Args:
        press: what makes the machine slow, or replaces a model, while its block runs; it yields what was left out, or
            None.
        seconds: for how long.
        rate: requests per second, which the slow machine must be able to answer.
        replaced: how many models it replaces itself.
    """

    def fault(served: Served) -> Outcome:
        alone = begin(served.url, KINDS, rate=rate, timeout_ms=PATIENT_MS)
        time.sleep(ALONE_S)
        before, logged = p99_s(alone.stop()), len(served.log())
        with press(served) as skipped, Looks(served) as looks:
            if skipped:
                return Outcome("", judge([]).seen, note=f"skipped: {skipped}")
            running = begin(served.url, KINDS, rate=rate, timeout_ms=PATIENT_MS)
            time.sleep(seconds)
            running.end()
            records = running.stop()
        recovered = wait_for(served.all_ready, RECOVER_S)
        count = served.log()[logged:].count(REPLACED)
        outcome = judge(records, frozenset({"200"}))
        broken = [*outcome.broken]
        broken += [f"{count} models were replaced, not {replaced}"] if count != replaced else []
        broken += [f"not ready in {looks.unready} of {looks.count} looks"] if looks.unready else []
        broken += ["not ready again"] if recovered is None else []
        p99 = p99_s(records)
        note = f"replaced {count}, not ready in {looks.unready} of {looks.count} looks, "
        note += f"p99 {p99:.2f} s (alone {before:.2f} s)"
        return dataclasses.replace(outcome, note=note, broken=tuple(broken))

    return fault


def neighbours(per_core: int) -> Press:
    """Processes that compute for ever, each in a session of its own: the kernel shares processors by session."""

    @contextlib.contextmanager
    def press(_: Served) -> Iterator[str | None]:
        command = [sys.executable, "-c", "while True: pass"]
        count = per_core * (os.cpu_count() or 1)
        burners = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
        try:
            yield None
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()

    return press


@contextlib.contextmanager
def throttled(served: Served) -> Iterator[str | None]:
    """All processes of the stack together get a tenth of a processor, by a control group of either version."""
    old, quota_us = CONTROL_GROUPS / "cpu", int(SHARE * PERIOD_US)
    parent = old if old.is_dir() else CONTROL_GROUPS
    group = parent / f"modelport-{os.getpid()}"
    try:
        group.mkdir()
        if parent is old:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    except OSError as error:
        yield f"no control group can be made ({error.strerror})"
        return
    stack = psutil.Process(served.process.pid)
    try:
        _move([stack.pid, *(child.pid for child in stack.children(recursive=True))], group)
        yield None
    finally:
        while pids := (group / "cgroup.procs").read_text().split():
            _move(map(int, pids), parent)
        group.rmdir()


def _move(pids: Iterator[int] | list[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):  # it ended
            (group / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def without_cache(_: Served) -> Iterator[str | None]:
    """The kernel forgets what it has read from disks, programs and models included, every few seconds."""
    ended = threading.Event()

    def drop() -> None:
        while not ended.wait(5):
            os.sync()
            DROP_CACHES.write_text("3")

    if not os.access(DROP_CACHES, os.W_OK):
        yield "needs the right to drop the page cache (root)"
        return
    dropping = threading.Thread(target=drop)
    dropping.start()
    try:
        yield None
    finally:
        ended.set()
        dropping.join()


@contextlib.contextmanager
def replacement(served: Served) -> Iterator[str | None]:
    """The process of the chain's spare model is killed: its load must not hold up the others."""
    served.stub(CHAIN[1]).send_signal(signal.SIGKILL)
    yield None


@contextlib.contextmanager
def slow_disk(served: Served) -> Iterator[str | None]:
    """Likewise, and its artefact cannot be opened for some seconds: openers wait for the end of a lease."""
    artefact = next(path for path in (served.repository / CHAIN[1]).glob("[0-9]*/*") if path.is_file())
    with artefact.open("r+b") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # which is ignored; SIGIO would end this process
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            yield f"no lease on {artefact.name} ({error.strerror})"
            return
        served.stub(CHAIN[1]).send_signal(signal.SIGKILL)
        released = threading.Timer(DISK_S, fcntl.fcntl, (file, fcntl.F_SETLEASE, fcntl.F_UNLCK))
        released.start()
        try:
            yield None
        finally:
            released.join()
