"""All faults by name."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from torture import artefacts, callers, loads, processes, shared_memory
from torture.outcome import Outcome
from torture.served import Served

KILL, STOP = signal.SIGKILL, signal.SIGSTOP

# One stack goes through all of these.
SERVED: Mapping[str, Callable[[Served], Outcome]] = {
    "detector-killed": processes.detector(KILL),
    "detector-stalled": processes.detector(STOP),
    "chain-killed": processes.chain(KILL),
    "chain-stalled": processes.chain(STOP),
    "triton-killed": processes.triton(KILL),
    "triton-stalled": processes.triton(STOP),
    "transformer-killed": processes.transformer(KILL),
    "transformer-stalled": processes.transformer(STOP),
    "callers-gone": callers.gone,
    "callers-slow": callers.slow,
    "callers-idle": callers.idle,
    "flood": callers.flood,
    "overloaded": loads.overloaded,
    "too-late": loads.too_late,
    "sigterm": processes.terminated,
}
# These start a stack of their own, or several.
ALONE: Mapping[str, Callable[[Path], Outcome]] = {
    "artefact-truncated": artefacts.truncated,
    "artefact-wrong": artefacts.wrong,
    "shm-full": shared_memory.full,
}
SHORT = ("detector-killed", "chain-stalled", "triton-killed", "callers-gone", "sigterm")
