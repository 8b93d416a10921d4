"""What an InferenceService in Standard mode says of its canary, and the JSON patches that change it.

Each patch tests what it replaces, so that a change that somebody else made meanwhile is never overwritten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
Patch = Sequence[Mapping[str, Any]]

SETTLE_S = 5.0  # from a gateway's report that it accepted a route until its proxies have it
_CANARY = "-canary-predictor"
_MODE = "serving.kserve.io/deploymentMode"
_PERCENT, _CANARIES, _STABLE = "/spec/canary/0/trafficPercent", "/spec/canary", "/spec/predictor/model/storageUri"


@dataclass(frozen=True)
class Shares:
    """The releases of a service."""

    stable: str  # the storage address of the release that serves
    canary: str  # of the one that is tried
    percent: int  # its share of the requests; 0 while it is being taken away

    @classmethod
    def of(cls, service: Document) -> Shares | None:
        """What an InferenceService says; None where it has no canary in Standard mode, or several."""
        spec = service.get("spec", {})
        canaries = spec.get("canary") or []
        if len(canaries) != 1:
            return None
        addresses = [_address(one) for one in (spec.get("predictor", {}), canaries[0].get("predictor", {}))]
        return cls(addresses[0], addresses[1], int(canaries[0].get("trafficPercent") or 0))

    @property
    def releases(self) -> tuple[str, str]:
        """The names of the stable release and of the canary: the ends of their addresses."""
        return _release(self.stable), _release(self.canary)

    @property
    def promoted(self) -> bool:
        """Whether the canary's release is the stable one already."""
        return self.stable == self.canary

    def share(self, percent: int) -> Patch:
        """Give the canary another share."""
        return [*self._tests(), {"op": "replace", "path": _PERCENT, "value": percent}]

    def promote(self) -> Patch:
        """Let the stable predictor serve the canary's release; the canary goes on until it does."""
        return [*self._tests(), {"op": "replace", "path": _STABLE, "value": self.canary}]

    def end(self) -> Patch:
        """Take the canary away."""
        return [*self._tests(), {"op": "remove", "path": _CANARIES}]

    def _tests(self) -> Patch:
        return [
            {"op": "test", "path": _STABLE, "value": self.stable},
            {"op": "test", "path": f"{_CANARIES}/0/predictor/model/storageUri", "value": self.canary},
            {"op": "test", "path": _PERCENT, "value": self.percent},
        ]


def why_none(service: Document) -> str:
    """Why an InferenceService without Shares has none: no canary, or one that no judge moves."""
    spec = service.get("spec", {})
    annotations = service.get("metadata", {}).get("annotations") or {}
    modes = annotations.get(_MODE), service.get("status", {}).get("deploymentMode")
    if "canaryTrafficPercent" in spec.get("predictor", {}) or {"Knative", "Serverless"} & set(modes):
        return (
            "is served in Knative mode, whose canaryTrafficPercent no judge moves: move it with `modelport canary`, "
            "`promote` and `rollback`, or roll out in Standard mode (overlay canary-standard)"
        )
    if len(spec.get("canary") or []) > 1:
        return "has several canaries, and a judge moves one: leave one in spec.canary"
    return "has no canary in Standard mode: `modelport canary` and `make deploy` start one"


def rolled_out(deployment: Document, address: str) -> bool:
    """Whether all replicas of a Deployment are of its newest revision, ready, and serve a release.

    Args:
        deployment: the stable predictor's.
        address: of the release, which KServe mounts by its path, or hands whole to the pod's storage initializer.
    """
    spec, state = deployment.get("spec", {}), deployment.get("status", {})
    current = state.get("observedGeneration", 0) >= deployment.get("metadata", {}).get("generation", 0)
    numbers = {state.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
    path = address.partition("://")[2].partition("/")[2]
    return current and numbers == {spec.get("replicas", 1)} and f'{path}"' in json.dumps(spec.get("template", {}))


def leads_to_canary(route: Document) -> bool:
    """Whether an HTTPRoute gives a canary a share, or its gateway has not accepted its newest state yet."""
    backends = [one for rule in route.get("spec", {}).get("rules", []) for one in rule.get("backendRefs", [])]
    if any(str(one["name"]).endswith(_CANARY) and one.get("weight", 1) for one in backends):
        return True
    parents = route.get("status", {}).get("parents", [])
    conditions = [one for parent in parents for one in parent.get("conditions", [])]
    return any(one.get("observedGeneration", 0) < route.get("metadata", {}).get("generation", 0) for one in conditions)


def is_canary(pod: Document) -> bool:
    """Whether a pod is of a canary's predictor."""
    owners = [str(one.get("name")) for one in pod.get("metadata", {}).get("ownerReferences", [])]  # a ReplicaSet
    return any(name.rpartition("-")[0].endswith(_CANARY) for name in owners)


def crashes(pod: Document) -> int:
    """How often containers of a pod ended by themselves."""
    return sum(int(one.get("restartCount", 0)) for one in pod.get("status", {}).get("containerStatuses", []))


def is_ready(pod: Document) -> bool:
    """Whether a pod gets requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _release(address: str) -> str:
    return re.split("[/:]", address)[-1]


def _address(predictor: Document) -> str:
    return str((predictor.get("model") or {}).get("storageUri", ""))
