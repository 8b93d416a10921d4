"""Takes the traffic from a canary before the canary is taken away.

KServe deletes a canary's pods in the moment in which it changes the route, and a gateway follows the route later:
requests in between would be lost. So the canary stays without a share until the gateway has followed.

In Knative mode the newest ready revision gets all traffic as soon as no share is declared. That is the canary's, until
the stable release is ready in a new revision: that one begins without a share.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kserve_transformers.judging.shares import SETTLE_S, leads_to_canary
from modelport.manifests.cluster import ClusterError, kubectl_json, kubectl_text
from modelport.manifests.findings import Document, at, of
from modelport.manifests.rendering import dump

ROUTE_TIMEOUT_S, READY_TIMEOUT_S = 120.0, 1200.0
_SHARE, _ADDRESS = "spec.predictor.canaryTrafficPercent", "spec.predictor.model.storageUri"
_REVISIONS = "status.components.predictor"


def retire_canaries(documents: Sequence[Document], present: Mapping[str, Document]) -> list[str]:
    """Take the traffic from the canaries that the cluster has and the documents no longer declare.

    Args:
        documents: what will be applied next.
        present: the InferenceServices in the cluster, by name.

    Returns:
        The names of their services.

    Raises:
        ClusterError: the cluster refused, or the routes did not change, or the stable release was not ready, in time.
    """
    ending = without_share(documents, present)
    if not ending:
        return []
    kubectl_text("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=dump(ending))
    names = [str(at(service, "metadata.name")) for service in ending]
    timeout_s = READY_TIMEOUT_S if any(at(service, _SHARE) is not None for service in ending) else ROUTE_TIMEOUT_S
    deadline = time.monotonic() + timeout_s
    while waiting := [
        why for service, name in zip(ending, names, strict=True) for why in _waits(service, present[name])
    ]:
        if time.monotonic() > deadline:
            raise ClusterError(f"after {timeout_s:g} s {', '.join(waiting)}")
        time.sleep(1)
    time.sleep(SETTLE_S)
    return names


def without_share(documents: Sequence[Document], present: Mapping[str, Document]) -> list[dict[str, Any]]:
    """The services that lose a canary: declared as before, with the canary that is there and no share for it."""
    ending = []
    for service in of(documents, "InferenceService"):
        there = present.get(str(at(service, "metadata.name")), {})
        canary = at(there, "spec.canary", [])
        step = copy.deepcopy(dict(service))
        if _gets_all(service, there):
            step["spec"]["predictor"]["canaryTrafficPercent"] = 0
            ending.append(step)
        if not canary or at(service, "spec.canary"):
            continue
        step["spec"]["canary"] = [{**copy.deepcopy(one), "trafficPercent": 0} for one in canary]
        step["spec"]["predictor"]["model"]["storageUri"] = at(there, "spec.predictor.model.storageUri")
        ending.append(step)
    return ending


def _gets_all(service: Document, there: Document) -> bool:
    """Whether a canary in Knative mode would get all traffic, without being promoted, once no share is declared."""
    if at(there, _SHARE) is None or at(service, _SHARE) is not None:
        return False
    created, ready, stable = (
        at(there, f"{_REVISIONS}.latest{which}Revision") for which in ("Created", "Ready", "Rolledout")
    )
    promoted = at(service, _ADDRESS) == at(there, _ADDRESS) and created == ready
    return ready != stable and not promoted


def _waits(service: Document, there: Document) -> Iterator[str]:
    """What a step waits for, in words."""
    name, namespace = str(at(service, "metadata.name")), str(at(service, "metadata.namespace"))
    if at(service, _SHARE) is not None:
        now = kubectl_json("get", "inferenceservices.serving.kserve.io", name, "-n", namespace)
        created, ready = (at(now, f"{_REVISIONS}.latest{which}Revision") for which in ("Created", "Ready"))
        if ready != created or ready == at(there, f"{_REVISIONS}.latestReadyRevision"):
            yield f"the stable release of {name} has no ready revision beside the one that serves"
        return
    command = ("get", "httproutes.gateway.networking.k8s.io", name, f"{name}-predictor", "-n", namespace)
    found = kubectl_json(*command, "--ignore-not-found")
    for route in found.get("items", [found]):
        if leads_to_canary(route):
            yield f"the route {at(route, 'metadata.name')} still leads to a canary"
