"""HPA and KEDA add replicas under load, which get their part, and take them away again; VPA recommends requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.observation import CONTROLLERS, NOT_IN_A_POD, observe
from modelport.cluster.relocation import SCALED_REPLICAS
from modelport.cluster.trial import BrokenPromiseError, NotPossibleError, Trial
from modelport.manifests.findings import Document, at
from modelport.manifests.pods import AUTOSCALER

CALLERS, KNATIVE_CALLERS = 6, 24  # Knative counts the requests that are in the pods at a time, 4 for each
SHARED_S = 20.0  # of load on all replicas, in which their parts are counted
LEAST_PART = 1 / 3  # of an equal part
NULL_S = 120.0  # twice the span of the declared query
GONE_S = 90.0  # the HPA looks every 15 s
RECOMMENDED_S = 600.0
WAKING_S = 290.0  # Knative lets a request wait for 300 s
STEADY_S = 600.0  # Kubernetes waits five minutes before it takes replicas away


def _up(trial: Trial, service: str, callers: int = CALLERS) -> str:
    most = SCALED_REPLICAS[1]
    with ExitStack() as stack:
        traffic = stack.enter_context(trial.traffic(service, callers))
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
    least, before, began = SCALED_REPLICAS[0], _replicas(trial, service), time.monotonic()
    if before == least:
        raise NotPossibleError(f"there is {least} replica already: no check before added one")
    wait_until(lambda: _replicas(trial, service) == least, f"back to {least} replica", STEADY_S, trial.explain)
    return f"from {before} to {least} replica {time.monotonic() - began:.0f} s after the load ended"


def _zero(trial: Trial, service: str) -> str:
    """Without requests no pod is left; the next request waits for one, and is answered."""

    def declared(documents: list[dict[str, Any]]) -> None:
        for one in documents:
            if one["kind"] == "InferenceService":
                one["spec"]["predictor"]["minReplicas"] = 0

    trial.deploy(change=declared)
    began = time.monotonic()
    wait_until(lambda: not trial.pods(service, ready=False), "no pod is left", STEADY_S, trial.explain)
    gone, sample = time.monotonic() - began, dict(trial.samples[service].requests["V1"])
    entry, began = trial.entry(service), time.monotonic()
    headers = {**sample.get("headers", {}), **entry.headers}
    url = entry.url + sample["path"]
    (answer,) = trial.caller.send([sample | {"url": url, "headers": headers, "timeout_s": WAKING_S}])
    if answer["status"] != "200":
        raise BrokenPromiseError(f"the first request without a pod: {answer['status']} {answer.get('error', '')}")
    return f"no pod {gone:.0f} s after the deploy; the next request answered after {time.monotonic() - began:.0f} s"


def _null(trial: Trial, service: str) -> str:
    """Nothing reads the pods' metrics any more, and the query has no result: the last replica stays."""
    for one in trial.documents:
        if one["kind"] == "PodMonitor":
            trial.cluster.delete("podmonitor.monitoring.coreos.com", at(one, "metadata.name"), trial.namespace)
    least, deadline = SCALED_REPLICAS[0], time.monotonic() + NULL_S
    while time.monotonic() < deadline:
        if _replicas(trial, service) < least:
            raise BrokenPromiseError(f"{_replicas(trial, service)} replicas without metrics, not {least}")
        time.sleep(5)
    found = trial.cluster.get("scaledobject.keda.sh", f"{service}-predictor", trial.namespace) or {}
    conditions = {one["type"]: one["status"] for one in at(found, "status.conditions", [])}
    return f"{least} replica without metrics for {NULL_S:.0f} s; conditions {conditions}"


def _operator_gone(trial: Trial, service: str) -> str:
    """KEDA's operator stops under load, and comes back: the service goes on with the replicas that it has."""
    operator = next(
        one for one in trial.cluster.items("deployment") if CONTROLLERS["keda.sh"] in at(one, "metadata.name")
    )
    name, namespace = str(at(operator, "metadata.name")), str(at(operator, "metadata.namespace"))

    def scale(replicas: int) -> None:
        trial.cluster.run("scale", f"deployment/{name}", f"--namespace={namespace}", f"--replicas={replicas}")
        wait_until(
            lambda: at(trial.cluster.get("deployment", name, namespace) or {}, "status.readyReplicas", 0) == replicas,
            f"{name} has {replicas} replicas",
            READY_TIMEOUT_S,
        )

    with trial.traffic(service) as traffic:
        scale(0)
        try:
            before, deadline, seen = _replicas(trial, service), time.monotonic() + GONE_S, set[int]()
            while time.monotonic() < deadline:
                seen.add(_replicas(trial, service))
                time.sleep(5)
            told = trial.cluster.items("horizontalpodautoscaler", trial.namespace)
            active = [one for hpa in told for one in at(hpa, "status.conditions", []) if one["type"] == "ScalingActive"]
        finally:
            scale(at(operator, "spec.replicas", 1))
    if seen != {before}:
        raise BrokenPromiseError(
            f"{before} replicas became {', '.join(map(str, sorted(seen)))} without KEDA's operator"
        )
    why = ", ".join(f"ScalingActive {one['status']}: {one['reason']}" for one in active)
    return f"{before} replicas for {GONE_S:.0f} s without it; {traffic.require_none_lost()} ({why})"


def _recommended(trial: Trial, service: str) -> str:
    """Each VerticalPodAutoscaler has a recommendation for both containers, and changes nothing."""
    told = []
    for one in trial.documents:
        if one["kind"] == "VerticalPodAutoscaler":
            name = str(at(one, "metadata.name"))
            boxes = wait_until(partial(_recommendations, trial, name), f"a recommendation for {name}", RECOMMENDED_S)
            told += [
                f"{name}'s {box['containerName']} {at(box, 'target.cpu')}, {at(box, 'target.memory')}" for box in boxes
            ]
    return "; ".join(told)


def _recommendations(trial: Trial, name: str) -> list[Document]:
    found = trial.cluster.get("verticalpodautoscaler.autoscaling.k8s.io", name, trial.namespace) or {}
    boxes = list(at(found, "status.recommendation.containerRecommendations", []))
    return boxes if len(boxes) > 1 else []


def _replicas(trial: Trial, service: str) -> int:
    return int(at(trial.cluster.get("deployment", f"{service}-predictor", trial.namespace) or {}, "spec.replicas", 0))


def _stays(trial: Trial, service: str) -> str:
    """KEDA's operator is everybody's."""
    return _KEDA(trial, service) or ("" if trial.stops_controllers else "--stop-controllers was not given")


def _no_recommender(trial: Trial, service: str) -> str:
    if not any(one["kind"] == "VerticalPodAutoscaler" for one in trial.documents):
        return NOT_PROMISED
    gone = observe(trial.cluster).version_of(CONTROLLERS["autoscaling.k8s.io"]) == NOT_IN_A_POD
    return "no pod runs VPA's recommender" if gone else ""


def _scaled_by(autoscaler: str) -> Callable[[Trial, str], str]:
    def inapplicable(trial: Trial, service: str) -> str:
        found = next(
            one for one in trial.documents if at(one, "metadata.name") == service and one["kind"] == "InferenceService"
        )
        return "" if at(found, "metadata.annotations", {}).get(AUTOSCALER) == autoscaler else NOT_PROMISED

    return inapplicable


def _knative(trial: Trial, service: str) -> str:
    return "" if trial.in_knative else NOT_PROMISED


_HPA, _KEDA = map(_scaled_by, ("hpa", "keda"))
CHECKS = (
    Check("hpa-up", "the HPA adds replicas under load, which get their part", _up, _HPA),
    Check("hpa-down", "the HPA takes them away again", _down, _HPA),
    Check(
        "knative-up",
        "Knative adds replicas by their concurrency, which get their part",
        partial(_up, callers=KNATIVE_CALLERS),
        _knative,
    ),
    Check("knative-zero", "Knative takes the last pod away, and the next request is answered", _zero, _knative),
    Check("keda-up", "KEDA adds replicas by the declared query, which get their part", _up, _KEDA),
    Check(
        "keda-gone", "without KEDA's operator the service goes on with the replicas that it has", _operator_gone, _stays
    ),
    Check("keda-down", "KEDA takes them away again", _down, _KEDA),
    Check("keda-null", "a query without result takes no last replica away", _null, _KEDA),
    Check("vpa-recommends", "VPA recommends requests for both containers", _recommended, _no_recommender),
)
