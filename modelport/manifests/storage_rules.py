"""Rules for where models are: a claim that storage classes can provide, and no address that nobody filled in."""

import re
from collections.abc import Iterator, Sequence

from modelport.manifests.findings import Document, Finding, Findings, at, of, text, title

PLACEHOLDERS = {
    r"[\w.-]*\bexample\.(?:com|org|net)\b": "a name that is reserved for examples",
    r"\b(?:s3|gs)://modelport-models\b": "the bucket of the examples",
    r"\bmodelport-models\.blob\.core\.windows\.net\b": "the account of the examples",
}
FIX = "Write your own, or make an overlay with your values: modelport init-cluster"


def _claims(documents: Sequence[Document]) -> Findings:
    claims = {at(claim, "metadata.name"): claim for claim in of(documents, "PersistentVolumeClaim")}
    for claim in claims.values():
        if at(claim, "spec.accessModes") == ["ReadOnlyMany"]:
            yield Finding(
                title(claim),
                "spec.accessModes",
                "storage classes provide no volume that is only read, and nothing could fill it: pods stay Pending",
                "Write ReadWriteOnce, or ReadWriteMany where the class has it",
            )
    for service in of(documents, "InferenceService"):
        yield from _canary_places(service)
        address = at(service, "spec.predictor.model.storageUri", "")
        if not address.startswith("pvc://"):
            continue
        named = claims.get(address.removeprefix("pvc://").split("/")[0], {})
        if not named:
            yield Finding(title(service), "spec.predictor.model.storageUri", f"no claim for {address}", "Render it too")
        elif "ReadWriteOnce" in at(named, "spec.accessModes", []) and not list(_neighbours(service)):
            yield Finding(
                title(service),
                "spec.predictor.affinity.podAffinity",
                "pods on another node than the volume's never start",
                "Require the node of app.kubernetes.io/part-of: modelport, as storage-pvc does",
            )


def _canary_places(service: Document) -> Findings:
    place = at(service, "spec.predictor.model.storageUri", "").rpartition("/")[0]
    for index, canary in enumerate(at(service, "spec.canary", [])):
        address = at(canary, "predictor.model.storageUri", "")
        if address.rpartition("/")[0] != place:
            yield Finding(
                title(service),
                f"spec.canary.{index}.predictor.model.storageUri",
                f"{address} is not beside the stable release in {place}",
                "Write the same address with another release at its end",
            )


def _neighbours(service: Document) -> Iterator[Document]:
    required = "spec.predictor.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    for term in at(service, required, []):
        if term.get("topologyKey") == "kubernetes.io/hostname":
            yield term


def placeholders(documents: Sequence[Document]) -> Findings:
    """What the user must replace before the documents are applied, each value once."""
    named: set[str] = set()
    for document in documents:
        content = text(document)
        for pattern, meaning in PLACEHOLDERS.items():
            for value in dict.fromkeys(re.findall(pattern, content)):
                if value not in named:
                    named.add(value)
                    yield Finding(title(document), "(document)", f"{value!r} is {meaning}", FIX)


RULES = (_claims,)
