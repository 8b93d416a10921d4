"""Takes the traffic from a canary before the canary is taken away.

KServe deletes a canary's pods in the moment in which it changes the route, and a gateway follows the route later:
requests in between would be lost. So the canary stays without a share until the gateway has followed.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kserve_transformers.judging.shares import SETTLE_S, leads_to_canary
from modelport.manifests.cluster import ClusterError, kubectl_json, kubectl_text
from modelport.manifests.findings import Document, at, of
from modelport.manifests.rendering import dump

ROUTE_TIMEOUT_S = 120.0


def retire_canaries(documents: Sequence[Document], present: Mapping[str, Document]) -> list[str]:
    """Take the traffic from the canaries that the cluster has and the documents no longer declare.

    Args:
        documents: what will be applied next.
        present: the InferenceServices in the cluster, by name.

    Returns:
        The names of their services.

    Raises:
        ClusterError: the cluster refused, or the routes did not change in time.
    """
    ending = without_share(documents, present)
    if not ending:
        return []
    kubectl_text("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=dump(ending))
    deadline = time.monotonic() + ROUTE_TIMEOUT_S
    names = [str(at(service, "metadata.name")) for service in ending]
    while waiting := [name for service in ending for name in _with_share(service)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"the routes {', '.join(waiting)} still lead to a canary after {ROUTE_TIMEOUT_S:g} s")
        time.sleep(1)
    time.sleep(SETTLE_S)
    return names


def without_share(documents: Sequence[Document], present: Mapping[str, Document]) -> list[dict[str, Any]]:
    """The services that lose a canary: declared as before, with the canary that is there and no share for it."""
    ending = []
    for service in of(documents, "InferenceService"):
        there = present.get(str(at(service, "metadata.name")), {})
        canary = at(there, "spec.canary", [])
        if not canary or at(service, "spec.canary"):
            continue
        step = copy.deepcopy(dict(service))
        step["spec"]["canary"] = [{**copy.deepcopy(one), "trafficPercent": 0} for one in canary]
        step["spec"]["predictor"]["model"]["storageUri"] = at(there, "spec.predictor.model.storageUri")
        ending.append(step)
    return ending


def _with_share(service: Document) -> Iterator[str]:
    name, namespace = str(at(service, "metadata.name")), str(at(service, "metadata.namespace"))
    command = ("get", "httproutes.gateway.networking.k8s.io", name, f"{name}-predictor", "-n", namespace)
    found = kubectl_json(*command, "--ignore-not-found")
    for route in found.get("items", [found]):
        if leads_to_canary(route):
            yield str(at(route, "metadata.name"))
