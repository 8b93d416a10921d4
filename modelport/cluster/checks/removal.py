"""`make undeploy` leaves nothing behind."""

from __future__ import annotations

from modelport.cluster.checks import Check
from modelport.cluster.kubectl import wait_until
from modelport.cluster.store import Store
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import at
from modelport.manifests.rendering import dump

# What Kubernetes itself keeps in every namespace, the test's own, and what says what happened there.
_KEPT = ("configmap/kube-root-ca.crt", "serviceaccount/default", f"secret/{Store.secret_name}")
# VPA's recommender deletes its checkpoints by itself, some minutes after their VerticalPodAutoscaler.
_PASSING = ("events", "podmetrics", "verticalpodautoscalercheckpoints")
DELETE_TIMEOUT_S = 240.0


def _undeploy(trial: Trial, service: str) -> str:
    documents = [
        one for one in trial.documents if one["kind"] not in ("Namespace", "PersistentVolume")
    ]  # the end removes them
    options = ["--ignore-not-found", f"--timeout={DELETE_TIMEOUT_S:g}s", "-f", "-"]
    trial.cluster.run("delete", *options, stdin=dump(documents), timeout_s=DELETE_TIMEOUT_S + 30)
    left: list[str] = []

    def nothing_left() -> bool:
        left[:] = _left(trial)
        return not left

    try:
        wait_until(nothing_left, "everything is gone", 120)
    except ClusterError:
        raise BrokenPromiseError(f"left behind: {', '.join(left)}") from None
    return f"{len(documents)} objects deleted, nothing is left in the namespace"


def _left(trial: Trial) -> list[str]:
    listed = trial.cluster.run("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    kinds = ",".join(one for one in listed if one.partition(".")[0] not in _PASSING)
    found = trial.cluster.run("get", kinds, f"--namespace={trial.namespace}", "-o", "name", "--ignore-not-found")
    names = sorted({name.partition("/")[0].partition(".")[0] + "/" + name.partition("/")[2] for name in found.split()})
    # cert-manager keeps what it issued
    issued = [f"secret/{at(one, 'spec.secretName')}" for one in trial.documents if one["kind"] == "Certificate"]
    return [one for one in names if one not in (*_KEPT, *issued)]


CHECKS = (Check("undeploy", "removing the overlay leaves nothing", _undeploy),)
