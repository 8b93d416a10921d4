"""In Knative mode a canary is the newest revision: on an empty cluster the stable release comes before it."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from modelport.manifests.findings import Document, at, of
from modelport.manifests.release_file import read


def stable_first(documents: Sequence[Document], present: Mapping[str, Document]) -> list[dict[str, Any]]:
    """Services in Knative mode with a canary but without a ready revision, each as its stable release declares it.

    Without one, the first revision would be the canary, and get all requests.
    """
    services = []
    for service in of(documents, "InferenceService"):
        name = str(at(service, "metadata.name"))
        ready = at(present.get(name, {}), "status.components.predictor.latestRolledoutRevision")
        if at(service, "spec.predictor.canaryTrafficPercent") is None or ready:
            continue
        stable = copy.deepcopy(dict(service))
        predictor = stable["spec"]["predictor"]
        del predictor["canaryTrafficPercent"]
        place = predictor["model"]["storageUri"].rpartition("/")[0]
        predictor["model"]["storageUri"] = f"{place}/{read()[name].stable}"
        services.append(stable)
    return services


def with_stable(documents: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents with the services of `stable_first` in place of those that have the canary."""
    stable = {at(service, "metadata.name"): service for service in first}
    return [
        stable.get(at(one, "metadata.name"), one) if one["kind"] == "InferenceService" else one for one in documents
    ]
