"""Processor time of some processes, of this one, and of all others, over a stretch of time."""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Used:
    """Processor time.

    Attributes:
        own_s: of this process.
        watched_s: of the watched processes.
        others: share of all cores that went to neither.
    """

    own_s: float
    watched_s: float
    others: float


def pace_ms() -> float:
    """Processor time that the same arithmetic takes now: the machine's own speed, which no count of others shows.

    Shared machines change theirs from one second to the next, by 1.6 where this was written.
    """
    data, took = bytes(2**21), []
    for _ in range(9):
        began = time.thread_time()
        hashlib.blake2b(data)
        took.append(1000 * (time.thread_time() - began))
    return statistics.median(took)


class Meter:
    """Begins when it is made.

    Args:
        pids: of the processes to watch; what they start later is not seen.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._began, self._own, self._watched, self._busy = self._now()

    def read(self) -> Used:
        """Since the beginning."""
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
