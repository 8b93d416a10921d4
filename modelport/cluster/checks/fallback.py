"""The gateway turns to the lighter pods when Triton in the primary ones stops answering, and back again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial

from kserve_transformers.judging.shares import is_ready
from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.findings import Document, at

STOPPED_S = 30.0


def _stopped(trial: Trial, pod: Document) -> None:
    trial.signal(pod, signal.SIGSTOP)
    try:
        time.sleep(STOPPED_S)
    finally:
        trial.signal(pod, signal.SIGCONT)


def _killed(trial: Trial, pod: Document) -> None:
    trial.signal(pod, signal.SIGKILL)
    time.sleep(5)
    wait_until(
        lambda: is_ready(trial.cluster.get("pod", at(pod, "metadata.name"), trial.namespace) or {}),
        "the pod is Ready again",
        READY_TIMEOUT_S,
        trial.explain,
    )


def _under(fault: Callable[[Trial, Document], None], trial: Trial, service: str) -> str:
    """What came of traffic while the fault was done to a primary pod and mended."""
    main = fallen_back(trial)
    pod = trial.pods(main)[0]
    before = _lighter_answered(trial, main)
    with trial.traffic(main) as traffic:
        time.sleep(5)
        fault(trial, pod)
        time.sleep(5)
    return f"{traffic.require_none_lost()}, {_require_lighter(trial, main, before)} by the lighter pods"


def _returns(trial: Trial, service: str) -> str:
    main = fallen_back(trial)

    def primary_answers() -> bool:
        before = trial.answered(trial.pods(main))
        with trial.traffic(main):
            time.sleep(5)
        return sum((trial.answered(trial.pods(main)) - before).values()) > 0

    wait_until(primary_answers, "the primary pods answer again", 180)
    return "the primary pods answer again"


def fallen_back(trial: Trial) -> str:
    """The service that has lighter pods; empty where none has."""
    return next((spec.name for name, spec in trial.specs.items() if spec.name != name), "")


def _lighter(trial: Trial, main: str) -> str:
    return next(name for name, spec in trial.specs.items() if spec.name == main and name != main)


def _lighter_answered(trial: Trial, main: str) -> int:
    return sum(trial.answered(trial.pods(_lighter(trial, main))).values())


def _require_lighter(trial: Trial, main: str, before: int) -> int:
    answered = _lighter_answered(trial, main) - before
    if not answered:
        raise BrokenPromiseError("the lighter pods answered nothing: the gateway did not fall back")
    return answered


def _no_fallback(trial: Trial, service: str) -> str:
    return "" if fallen_back(trial) else NOT_PROMISED


CHECKS = (
    Check("fallback-stopped", "a stopped Triton: the lighter pods answer", partial(_under, _stopped), _no_fallback),
    Check("fallback-killed", "a killed Triton: the lighter pods answer", partial(_under, _killed), _no_fallback),
    Check("fallback-returns", "the primary pods get their traffic back", _returns, _no_fallback),
)
