"""A shadow gets copies and its answers are paired; whatever happens to it, callers do not notice."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kserve_transformers.record.reading import Reader
from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.checks.observing import record_on_volume
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.releases import NEXT
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.judging import pairs

PERCENT = 50
PAIRED = 100
LOAD_S = 20
OUTAGE_S = 15


def _pairs(trial: Trial, service: str) -> str:
    """Copies are answered by the shadow, and both sides' answers are paired by their ids."""
    _start(trial, service)
    since = time.time()
    with trial.traffic(service) as traffic:
        wait_until(lambda: _copies(trial, service) >= PAIRED, f"{PAIRED} copies arrive", READY_TIMEOUT_S, trial.explain)
    answered = traffic.require_none_lost()
    time.sleep(3)  # the recorders write what ended
    with tempfile.TemporaryDirectory(prefix="modelport-record-") as scratch:
        file = Path(scratch) / service / "2000-01-01" / "00-test.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(json.dumps(one) + "\n" for one in record_on_volume(trial, service)))
        found = pairs.account(Reader(scratch, service), FIRST_RELEASE, since)
    pairs.count_lost(found, None, PERCENT)
    measured = pairs.measures(found, pairs.observations(found))
    rows = ", ".join(f"{name} {count}" for name, count in found.rows())
    if len(found.compared) < PAIRED / 2 or measured["agreement"].value < 1:
        raise BrokenPromiseError(f"the same release as a shadow: {rows}; agreement {measured.get('agreement')}")
    return f"{rows}; agreement {measured['agreement'].value:g}; {answered}"


def _outage(harm: Callable[[Trial, str], None]) -> Callable[[Trial, str], str]:
    def check(trial: Trial, service: str) -> str:
        _start(trial, service)
        with trial.traffic(service) as traffic:
            time.sleep(LOAD_S)
            harm(trial, service)
            time.sleep(OUTAGE_S)
        return traffic.require_none_lost()

    return check


def _hang(trial: Trial, service: str) -> None:
    for pod in trial.pods(_name(service)):
        trial.signal(pod, signal.SIGSTOP)


def _crash(trial: Trial, service: str) -> None:
    for pod in trial.pods(_name(service)):
        trial.signal(pod, signal.SIGKILL)
        trial.signal(pod, signal.SIGKILL, "transformer-container")


def _start(trial: Trial, service: str) -> None:
    trial.deploy({service: replace(trial.choices[service], shadow=NEXT, shadow_percent=PERCENT)})
    wait_until(lambda: trial.pods(_name(service)), "the shadow is Ready", READY_TIMEOUT_S, trial.explain)


def _copies(trial: Trial, service: str) -> int:
    return sum(trial.answered(trial.pods(_name(service))).values())


def _name(service: str) -> str:
    return f"{service}-shadow"


def _none(trial: Trial, service: str) -> str:
    return "" if trial.shadows(service) else NOT_PROMISED


CHECKS = (
    Check("shadow-pairs", "copies are answered, and both sides' answers are paired", _pairs, _none, keeps=True),
    Check("shadow-hangs", "a shadow that hangs costs no request", _outage(_hang), _none),
    Check("shadow-crashes", "a shadow that is killed costs no request", _outage(_crash), _none),
)
