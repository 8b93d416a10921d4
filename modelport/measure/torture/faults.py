"""The faults by name."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from modelport.measure.torture import artefacts, busy, callers, loads, processes, records, shadows, shared_memory
from modelport.measure.torture.outcome import Outcome
from modelport.measure.torture.served import Served

KILL, STOP = signal.SIGKILL, signal.SIGSTOP

Fault = Callable[[Served], Outcome]

# One stack, of a detector and a classifier with a spare model, is given all of these.
SERVED: Mapping[str, Fault] = {
    "detector-killed": processes.model("yolov3_tiny", KILL),
    "detector-stalled": processes.model("yolov3_tiny", STOP),
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
    "overloaded": loads.overloaded(),
    "overloaded-hurried": loads.overloaded(inferences=16),
    "too-late": loads.too_late,
    "busy-1": busy.pressed(busy.neighbours(1)),
    "busy-5": busy.pressed(busy.neighbours(5), seconds=300.0),
    "busy-12": busy.pressed(busy.neighbours(12), rate=0.5),
    "throttled": busy.pressed(busy.throttled, rate=0.4),
    "no-cache": busy.pressed(busy.without_cache, seconds=30.0),
    "replaced": busy.pressed(busy.replacement, seconds=30.0, replaced=1),
    "slow-disk": busy.pressed(busy.slow_disk, seconds=30.0, replaced=1),
    "sigterm": processes.terminated,
}
# A second one is given these.
SAVED_MODELS = ("cars", "digits", "anomaly")
SERVED_SAVED_MODELS: Mapping[str, Fault] = {
    "cars-killed": processes.model("cars", KILL, SAVED_MODELS),
    "digits-killed": processes.model("mnist", KILL, SAVED_MODELS),
    "digits-stalled": processes.model("mnist", STOP, SAVED_MODELS),
    "anomaly-stalled": processes.model("anomaly", STOP, SAVED_MODELS),
}
# Each of these starts a stack of its own.
ALONE: Mapping[str, Callable[[Path], Outcome]] = {
    "artefact-truncated": artefacts.truncated,
    "artefact-wrong": artefacts.wrong,
    "artefact-swapped": artefacts.swapped,
    "shm-full": shared_memory.full,
    "record-disk-full": records.disk_full,
    "record-sink-slow": records.sink_slow,
    "record-sink-dead": records.sink_dead,
    "record-killed": records.killed,
    "bystander": loads.bystander,
    "shadow": shadows.beside,
}
SHORT = ("detector-killed", "chain-stalled", "triton-killed", "callers-gone", "sigterm")
