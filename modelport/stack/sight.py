"""Reads from /proc what a diagnosis is made from."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from modelport.stack.diagnosis import ProcessSight

PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def see(pid: int, closely: bool, proc: Path = PROC) -> ProcessSight | None:
    """A process at this moment; None where it is gone.

    Args:
        pid: its number.
        closely: whether to read for how long its threads waited in run queues; that is a file for each thread.
        proc: the folder of the kernel's process information.
    """
    try:
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    worked_s = (int(fields[11]) + int(fields[12])) * _TICK_S
    waited_s = _waited_s(proc / str(pid)) if closely else 0.0
    return ProcessSight(pid, fields[0], worked_s, waited_s, int(fields[9]))


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    seen = see(pid, closely=False)
    return seen is not None and seen.state not in "ZX"


def _waited_s(process: Path) -> float:
    total = 0
    for file in process.glob("task/*/schedstat"):
        with contextlib.suppress(OSError, IndexError):
            total += int(file.read_text().split()[1])
    return total / 1e9
