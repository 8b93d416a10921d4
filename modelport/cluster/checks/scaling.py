"""HPA and KEDA add replicas under load, each gets its part of the requests, and take them away again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import wait_until
from modelport.cluster.relocation import SCALED_REPLICAS
from modelport.cluster.trial import READY_TIMEOUT_S, BrokenPromiseError, Trial
from modelport.manifests.findings import at
from modelport.manifests.pods import AUTOSCALER

CALLERS = 6
SHARED_S = 20.0  # of load on all replicas, in which their parts are counted
LEAST_PART = 1 / 3  # of an equal part
NULL_S = 120.0  # twice the span of the declared query
STEADY_S = 600.0  # Kubernetes waits five minutes before it takes replicas away


def _up(trial: Trial, service: str) -> str:
    most = SCALED_REPLICAS[1]
    with ExitStack() as stack:
        traffic = stack.enter_context(trial.traffic(service, CALLERS))
        began = time.monotonic()
        wait_until(lambda: len(trial.pods(service)) >= most, f"{most} replicas", READY_TIMEOUT_S, trial.explain)
        took = time.monotonic() - began
        pods = trial.pods(service)
        before = trial.answered(pods)
        time.sleep(SHARED_S)
        now = trial.answered(pods)
    parts = sorted(now[name] - before[name] for name in now)
    if parts[0] < LEAST_PART * sum(parts) / most:
        raise BrokenPromiseError(f"the replicas answered {', '.join(map(str, parts))}: one did not get its part")
    return f"{most} after {took:.0f} s; parts {', '.join(map(str, parts))}; {traffic.require_none_lost()}"


def _down(trial: Trial, service: str) -> str:
    least, began = SCALED_REPLICAS[0], time.monotonic()

    def back() -> bool:
        return bool(
            at(trial.cluster.get("deployment", f"{service}-predictor", trial.namespace) or {}, "spec.replicas") == least
        )

    wait_until(back, f"back to {least} replica", STEADY_S, trial.explain)
    return f"{least} replica {time.monotonic() - began:.0f} s after the load ended"


def _null(trial: Trial, service: str) -> str:
    """Nothing reads the pods' metrics any more, and the query has no result: the last replica stays."""
    for one in trial.documents:
        if one["kind"] == "PodMonitor":
            trial.cluster.delete("podmonitor.monitoring.coreos.com", at(one, "metadata.name"), trial.namespace)
    least, deadline = SCALED_REPLICAS[0], time.monotonic() + NULL_S
    while time.monotonic() < deadline:
        deployment = trial.cluster.get("deployment", f"{service}-predictor", trial.namespace) or {}
        if at(deployment, "spec.replicas", 0) < least:
            raise BrokenPromiseError(f"{at(deployment, 'spec.replicas')} replicas without metrics, not {least}")
        time.sleep(5)
    found = trial.cluster.get("scaledobject.keda.sh", f"{service}-predictor", trial.namespace) or {}
    conditions = {one["type"]: one["status"] for one in at(found, "status.conditions", [])}
    return f"{least} replica without metrics for {NULL_S:.0f} s; conditions {conditions}"


def _scaled_by(autoscaler: str) -> Callable[[Trial, str], str]:
    def inapplicable(trial: Trial, service: str) -> str:
        found = next(
            one for one in trial.documents if at(one, "metadata.name") == service and one["kind"] == "InferenceService"
        )
        return "" if at(found, "metadata.annotations", {}).get(AUTOSCALER) == autoscaler else NOT_PROMISED

    return inapplicable


_HPA, _KEDA = map(_scaled_by, ("hpa", "keda"))
CHECKS = (
    Check("hpa-up", "the HPA adds replicas under load, which get their part", _up, _HPA),
    Check("hpa-down", "the HPA takes them away again", _down, _HPA),
    Check("keda-up", "KEDA adds replicas by the declared query, which get their part", _up, _KEDA),
    Check("keda-down", "KEDA takes them away again", _down, _KEDA),
    Check("keda-null", "a query without result takes no last replica away", _null, _KEDA),
)
