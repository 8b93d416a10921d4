"""The objects that other controllers act on are admitted, and accepted by those that are there."""

from __future__ import annotations

from collections.abc import Iterator

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import wait_until
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at
from modelport.manifests.pods import AUTOSCALER

ACCEPTED_S = 300.0
_GATEWAY_GROUPS = ("gateway.networking.k8s.io", "gateway.envoyproxy.io")
_REPORTING = (
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "Backend",
    "SecurityPolicy",
    "BackendTrafficPolicy",
    "ClientTrafficPolicy",
)


def _accepted(trial: Trial, service: str) -> str:
    """Gateway, routes and policies have the condition Accepted."""
    documents = [one for one in trial.documents if one["kind"] in _REPORTING]

    def refused() -> list[str]:
        return [text for one in documents for text in _refusals(trial, one)]

    try:
        wait_until(lambda: not refused(), "everything is accepted", ACCEPTED_S)
    except ClusterError:
        told = "; ".join(refused())
        if told:
            raise BrokenPromiseError(told) from None
    return f"{len(documents)} gateways, routes, backends and policies are accepted"


def _refusals(trial: Trial, document: Document) -> Iterator[str]:
    name, group = str(at(document, "metadata.name")), str(document["apiVersion"]).partition("/")[0]
    found = trial.cluster.get(f"{document['kind'].lower()}.{group}", name, trial.namespace) or {}
    told = [*at(found, "status.ancestors", []), *at(found, "status.parents", []), found.get("status", {})]
    conditions = [one for part in told for one in part.get("conditions", []) if one["type"] == "Accepted"]
    if not conditions:
        yield f"{document['kind']} {name} has no condition Accepted"
    for one in conditions:
        if one["status"] != "True":
            yield f"{document['kind']} {name}: {one.get('reason')}: {one.get('message')}"


def _scaled_objects(trial: Trial, service: str) -> str:
    """KServe made a ScaledObject from the declared metric, with its threshold."""
    seen = []
    for document in trial.documents:
        if document["kind"] != "InferenceService":
            continue
        name = str(at(document, "metadata.name"))
        found = trial.cluster.get("scaledobject.keda.sh", f"{name}-predictor", trial.namespace) or {}
        declared = at(document, "spec.predictor.autoScaling.metrics.0.external")
        trigger = at(found, "spec.triggers.0.metadata", {})
        wanted = {"query": at(declared, "metric.query"), "threshold": at(declared, "target.value")}
        if {key: trigger.get(key) for key in wanted} != wanted:
            raise BrokenPromiseError(f"the ScaledObject of {name} has {trigger or 'no trigger'}, not {wanted}")
        seen.append(name)
    return f"a ScaledObject with query and threshold for {', '.join(seen)}"


def _admitted(trial: Trial, service: str) -> str:
    """Every declared object is there."""
    missing = []
    for one in trial.documents:
        group, slash, _ = str(one["apiVersion"]).partition("/")
        kind = one["kind"].lower() + (f".{group}" if slash else "")
        if trial.cluster.get(kind, str(at(one, "metadata.name")), at(one, "metadata.namespace", "")) is None:
            missing.append(f"{one['kind']} {at(one, 'metadata.name')}")
    if missing:
        raise BrokenPromiseError(f"missing: {', '.join(missing)}")
    return f"{len(trial.documents)} objects of {len({one['kind'] for one in trial.documents})} kinds"


def _no_gateway(trial: Trial, service: str) -> str:
    groups = {str(one["apiVersion"]).partition("/")[0] for one in trial.documents}
    return "" if groups.intersection(_GATEWAY_GROUPS) else NOT_PROMISED


def _no_keda(trial: Trial, service: str) -> str:
    classes = {at(one, "metadata.annotations", {}).get(AUTOSCALER) for one in trial.documents}
    return "" if "keda" in classes else NOT_PROMISED


CHECKS = (
    Check("objects", "every declared object is in the cluster", _admitted),
    Check("accepted", "gateway, routes and policies are accepted", _accepted, _no_gateway),
    Check("scaled-objects", "KEDA gets the declared metric and threshold", _scaled_objects, _no_keda),
)
