"""Processor time of watched processes, of this one and of all others, and the machine's own speed."""

import contextlib
import hashlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Used:
    """Processor time. `others` is the share of all cores that neither this process nor the watched ones used."""

    own_s: float
    watched_s: float
    others: float


def pace_ms() -> float:
    """The machine's own speed: the processor time of a fixed piece of arithmetic, ms.

    Shared machines change it from one second to the next, which the load of other processes does not show.
    """
    data, took = bytes(2**21), []
    for _ in range(9):
        began = time.thread_time()
        hashlib.blake2b(data)
        took.append(1000 * (time.thread_time() - began))
    return statistics.median(took)


class Meter:
    """Measures processor time from its construction on.

    Args:
        pids: of the watched processes; children that they start later are not measured.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._began, self._own, self._watched, self._busy = self._now()

    def read(self) -> Used:
        """The processor time since the construction."""
        now, own, watched, busy = self._now()
        own, watched = own - self._own, watched - self._watched
        cores_s = (now - self._began) * (psutil.cpu_count() or 1)
        return Used(own, watched, max(0.0, busy - self._busy - own - watched) / cores_s)

    def _now(self) -> tuple[float, float, float, float]:
        watched = 0.0
        for pid in self._pids:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                watched += times.user + times.system
        everything = psutil.cpu_times()
        busy = sum(everything) - everything.idle - everything.iowait - everything.guest - everything.guest_nice
        return time.perf_counter(), time.process_time(), watched, busy
