"""Reads from /proc what a diagnosis is made from."""

import contextlib
import os
from pathlib import Path

from modelport.stack.diagnosis import ProcessSight

PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def see(pid: int, closely: bool) -> ProcessSight | None:
    """A process at this moment; None where it is gone.

    Args:
        pid: its number.
        closely: whether to look at each of its threads: how long they waited in run queues, and whether one of them can
            run, which makes the state R. The kernel counts a wait only when it ends.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    worked_s = (int(fields[11]) + int(fields[12])) * _TICK_S
    state, waited_s = _threads(PROC / str(pid), fields[0]) if closely else (fields[0], 0.0)
    return ProcessSight(pid, state, worked_s, waited_s, int(fields[9]))


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    seen = see(pid, closely=False)
    return seen is not None and seen.state not in "ZX"


def _threads(process: Path, state: str) -> tuple[str, float]:
    """The process's state, R where it sleeps and a thread of it can run; and the seconds that its threads waited."""
    total = 0
    for thread in process.glob("task/*"):
        with contextlib.suppress(OSError, IndexError):
            total += int((thread / "schedstat").read_text().split()[1])
            runnable = (thread / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "R"
            state = "R" if state == "S" and runnable else state
    return state, total / 1e9
