"""Pods are replaced, deleted, evicted and killed, and releases and images are wrong: callers notice nothing."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kserve_transformers.judging.shares import is_ready
from modelport.cluster import releases
from modelport.cluster.checks import Check
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at

WATCHED_S = 20.0  # a bad pod gets no traffic for this long, once it runs
SETTLED_S = 3.0  # of traffic before and after what is done
# The volume that KServe copies models into. A limit on a disk would be enforced only after the pod is Ready.
NO_ROOM = {"name": "kserve-provision-location", "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}}


def _rolling_restart(trial: Trial, service: str) -> str:
    with trial.traffic(service) as traffic:
        time.sleep(SETTLED_S)
        old = {at(pod, "metadata.name") for pod in trial.pods(service)}
        trial.restart(service)
        wait_until(
            lambda: (
                trial.rolled_out(service) and old.isdisjoint(at(pod, "metadata.name") for pod in trial.pods(service))
            ),
            "the restart ends",
            READY_TIMEOUT_S,
            trial.explain,
        )
        time.sleep(SETTLED_S)
    return traffic.require_none_lost()


def _deleted_pod(trial: Trial, service: str) -> str:
    return _without_one(
        trial, service, lambda name: trial.cluster.run("delete", "pod", name, f"-n{trial.namespace}", "--wait=false")
    )


def _evicted_pod(trial: Trial, service: str) -> str:
    """A drain evicts pods by this API, which asks the PodDisruptionBudget."""

    def evict(name: str) -> None:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": trial.namespace}}
        path = f"/api/v1/namespaces/{trial.namespace}/pods/{name}/eviction"
        trial.cluster.run("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
        other = next(at(pod, "metadata.name") for pod in trial.pods(service) if at(pod, "metadata.name") != name)
        body["metadata"]["name"] = other  # type: ignore[index]
        try:
            trial.cluster.run("create", "--raw", path.replace(name, other), "-f", "-", stdin=json.dumps(body))
        except ClusterError as error:
            if "disruption budget" in str(error):
                return
            raise
        raise BrokenPromiseError("both pods could be evicted at once: the PodDisruptionBudget protects neither")

    return _without_one(trial, service, evict) + "; the second eviction was refused"


def _without_one(trial: Trial, service: str, remove: Callable[[str], object]) -> str:
    """Two replicas lose one under traffic."""

    def two(documents: list[dict[str, Any]]) -> None:
        for one in _services(documents, service):
            predictor = one["spec"]["predictor"]
            predictor["minReplicas"], predictor["maxReplicas"] = 2, max(2, predictor.get("maxReplicas", 2))

    trial.deploy(change=two)
    wait_until(
        lambda: len(trial.pods(service)) >= 2 and trial.rolled_out(service),
        "two replicas are ready",
        READY_TIMEOUT_S,
        trial.explain,
    )
    with trial.traffic(service) as traffic:
        time.sleep(SETTLED_S)
        name = str(at(trial.pods(service)[0], "metadata.name"))
        remove(name)
        wait_until(
            lambda: len([one for one in trial.pods(service) if at(one, "metadata.name") != name]) >= 2,
            "the replica is replaced",
            READY_TIMEOUT_S,
            trial.explain,
        )
        time.sleep(SETTLED_S)
    return traffic.require_none_lost()


def _wrong_image(trial: Trial, service: str) -> str:
    def wrong(documents: list[dict[str, Any]]) -> None:
        for one in _services(documents, service):
            container = one["spec"]["predictor"]["containers"][0]
            container["image"] = container["image"].rpartition(":")[0] + ":there-is-no-such-tag"

    return refused(trial, service, lambda: trial.deploy(change=wrong), _waits_for_image)


def _wrong_release(trial: Trial, service: str) -> str:
    choice = replace(trial.choices[service], stable=releases.WRONG, canary=releases.WRONG)
    return refused(trial, service, lambda: trial.deploy({service: choice}), runs)


def _full_disk(trial: Trial, service: str) -> str:
    """The new pod has no room for a release: its storage initializer fails, as on a node whose disk is full."""

    def full(documents: list[dict[str, Any]]) -> None:
        for one in _services(documents, service):
            one["spec"]["predictor"].setdefault("volumes", []).append(NO_ROOM)

    return refused(trial, service, lambda: trial.deploy(change=full), _failed_to_start)


def refused(trial: Trial, service: str, deploy: Callable[[], None], tried: Callable[[Document], bool]) -> str:
    """A new pod that cannot serve is never Ready, and the old ones go on."""
    old = {at(pod, "metadata.name") for pod in trial.pods(service)}

    def new() -> list[Document]:
        return [pod for pod in trial.pods(service, ready=False) if at(pod, "metadata.name") not in old]

    with trial.traffic(service) as traffic:
        deploy()
        wait_until(
            lambda: any(tried(pod) or is_ready(pod) for pod in new()),
            "the new pod is tried",
            READY_TIMEOUT_S,
            trial.explain,
        )
        deadline = time.monotonic() + WATCHED_S
        while time.monotonic() < deadline:
            ready = [at(pod, "metadata.name") for pod in new() if is_ready(pod)]
            if ready:
                raise BrokenPromiseError(f"the new pod {ready[0]} became Ready")
            time.sleep(1)
        why = trial.explain()
    return f"never Ready; {traffic.require_none_lost()} ({why[:160]})"


def _killed_triton(trial: Trial, service: str) -> str:
    """One replica's Triton is killed; its container restarts, and the replica is Ready again."""
    pod = trial.pods(service)[0]
    trial.signal(pod, signal.SIGKILL)
    name = at(pod, "metadata.name")

    def back() -> bool:
        found = trial.cluster.get("pod", name, trial.namespace) or {}
        return is_ready(found) and any(one["restartCount"] for one in at(found, "status.containerStatuses", []))

    wait_until(back, "the pod is Ready again", READY_TIMEOUT_S, trial.explain)
    answer = trial.send(trial.entry(service), service, "V1")
    if answer["status"] != "200":
        raise BrokenPromiseError(f"after the restart: {answer['status']}")
    return "the container was restarted, the pod is Ready and answers"


def _services(documents: list[dict[str, Any]], service: str) -> list[dict[str, Any]]:
    return [one for one in documents if one["kind"] == "InferenceService" and one["metadata"]["name"] == service]


def runs(pod: Document) -> bool:
    """Whether all containers of a pod run."""
    states = at(pod, "status.containerStatuses", [])
    return bool(states) and all("running" in one["state"] for one in states)


def _waits_for_image(pod: Document) -> bool:
    states = at(pod, "status.containerStatuses", [])
    return any(at(one, "state.waiting.reason") in ("ErrImagePull", "ImagePullBackOff") for one in states)


def _failed_to_start(pod: Document) -> bool:
    states = at(pod, "status.initContainerStatuses", [])
    return any(one["restartCount"] or at(one, "state.terminated.exitCode", 0) for one in states)


def _no_download(trial: Trial, service: str) -> str:
    if trial.in_knative:
        return "Knative refuses a volume that no container mounts, which fills the disk in this check"
    address = str(at(_services(trial.documents, service)[0], "spec.predictor.model.storageUri"))
    return "the volume is mounted, nothing is copied" if address.startswith(("pvc://", "oci://")) else ""


CHECKS = (
    Check("rolling-restart", "a rolling restart loses no request", _rolling_restart),
    Check("deleted-pod", "one of two pods is deleted: no request is lost", _deleted_pod),
    Check("evicted-pod", "one of two pods is evicted, as a drain does: no request is lost", _evicted_pod),
    Check("killed-triton", "a killed Triton is restarted", _killed_triton),
    Check("wrong-image", "an image that does not exist: never Ready, the old pod goes on", _wrong_image),
    Check("wrong-release", "a release with wrong answers: never Ready, the old pod goes on", _wrong_release),
    Check("full-disk", "no room for the models: never Ready, the old pod goes on", _full_disk, _no_download),
)
