"""Rules between documents: references, and what a fallback at the gateway needs to work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from modelport.manifests.findings import Document, Finding, Findings, at, title

UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}
IMAGE_BYTES = 20 * 2**20
PARALLEL_RETRIES = 64
VISIBILITY = "networking.kserve.io/visibility"
PLACEHOLDERS = (":latest", "REPLACE_ME", "TODO", "SERVICE")


def check_documents(documents: Sequence[Document]) -> Findings:
    """All rules of this file for all documents of an overlay."""
    for rule in (_gateway_class, _kserve_routes, _backends, _fallback, _policies, _selectors, _graphs, _placeholders):
        yield from rule(documents)


def bytes_of(quantity: str | int) -> int:
    """A Kubernetes quantity in bytes: 21Mi is 22020096."""
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", str(quantity))
    if match is None or match[2] not in UNITS:
        return 0
    return int(match[1]) * UNITS[match[2]]


def _of(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    return (document for document in documents if document.get("kind") in kinds)


def _names(documents: Sequence[Document], *kinds: str) -> set[str]:
    return {at(document, "metadata.name") for document in _of(documents, *kinds)}


def _gateway_class(documents: Sequence[Document]) -> Findings:
    for document in _of(documents, "GatewayClass"):
        yield Finding(
            title(document),
            "kind",
            "its finalizer keeps `make undeploy` waiting while another Gateway uses it",
            "Apply manifests/gateway-class.yaml once, with Envoy Gateway",
        )


def _kserve_routes(documents: Sequence[Document]) -> Findings:
    routes, services = list(_of(documents, "HTTPRoute")), _names(documents, "InferenceService")
    for route in routes:
        if at(route, "metadata.name", "").removesuffix("-predictor") in services:
            yield Finding(
                title(route), "metadata.name", "KServe overwrites a route of this name", "Write modelport-SERVICE"
            )
    for service in _of(documents, "InferenceService"):
        if routes and (at(service, "metadata.labels") or {}).get(VISIBILITY) != "cluster-local":
            yield Finding(
                title(service),
                f"metadata.labels.{VISIBILITY}",
                "KServe makes a route of its own, past the policies of the gateway",
                "Write cluster-local",
            )


def _backends(documents: Sequence[Document]) -> Findings:
    fallbacks = {at(backend, "metadata.name") for backend in _of(documents, "Backend") if at(backend, "spec.fallback")}
    for route in _of(documents, "HTTPRoute"):
        for index, rule in enumerate(at(route, "spec.rules", [])):
            field, references = f"spec.rules.{index}.backendRefs", rule.get("backendRefs", [])
            kinds = {reference.get("kind", "Service") for reference in references}
            for reference in references:
                kind, name = reference.get("kind", "Service"), reference.get("name")
                if name not in _names(documents, kind):
                    yield Finding(title(route), field, f"no {kind} {name!r} is rendered", "Name one that is")
            if "Service" in kinds and fallbacks & {reference.get("name") for reference in references}:
                yield Finding(
                    title(route),
                    field,
                    "a fallback Backend loses its priority beside a Service",
                    "Use Backends for both",
                )


def _fallback(documents: Sequence[Document]) -> Findings:
    for backend in _of(documents, "Backend"):
        if not at(backend, "spec.fallback"):
            continue
        limits = [at(policy, "spec.connection.bufferLimit", 0) for policy in _of(documents, "ClientTrafficPolicy")]
        if max(map(bytes_of, limits), default=0) < IMAGE_BYTES:
            yield Finding(
                title(backend),
                "ClientTrafficPolicy spec.connection.bufferLimit",
                "bodies over the limit (32 KiB by default) are not retried: images get no fallback",
                "Write 21Mi",
            )
        policies = list(_of(documents, "BackendTrafficPolicy"))
        if not any(at(policy, "spec.retry") for policy in policies):
            yield Finding(title(backend), "BackendTrafficPolicy spec.retry", "no request is retried", "Write retry")
        for policy in policies:
            yield from _retry(policy)


def _retry(policy: Document) -> Findings:
    wanted = {
        "spec.retry.numAttemptsPerPriority": (1, "the retry reaches the same pods", "Write 1"),
        "spec.healthCheck.panicThreshold": (0, "traffic returns to ejected pods", "Write 0"),
    }
    for field, (value, problem, fix) in wanted.items():
        if at(policy, field) != value:
            yield Finding(title(policy), field, problem, fix)
    if at(policy, "spec.circuitBreaker.maxParallelRetries", 0) < PARALLEL_RETRIES:
        yield Finding(
            title(policy),
            "spec.circuitBreaker.maxParallelRetries",
            "Envoy retries 3 requests at a time; the others fail with the primary pods",
            f"Write {PARALLEL_RETRIES} or more",
        )
    if not at(policy, "spec.retry.perRetry.timeout"):
        yield Finding(
            title(policy),
            "spec.retry.perRetry.timeout",
            "a pod that hangs uses up the whole timeout",
            "Write a part of it",
        )
    if not at(policy, "spec.healthCheck.passive"):
        yield Finding(
            title(policy), "spec.healthCheck.passive", "failing pods keep getting each first attempt", "Write it"
        )


def _policies(documents: Sequence[Document]) -> Findings:
    for policy in _of(documents, "BackendTrafficPolicy", "ClientTrafficPolicy", "SecurityPolicy"):
        for target in at(policy, "spec.targetRefs", []):
            if target.get("name") not in _names(documents, target.get("kind", "")):
                yield Finding(
                    title(policy), "spec.targetRefs", f"no {target.get('kind')} {target.get('name')!r}", "Name one"
                )


def _selectors(documents: Sequence[Document]) -> Findings:
    key, services = "serving.kserve.io/inferenceservice", _names(documents, "InferenceService")
    for document in _of(documents, "Service", "PodDisruptionBudget"):
        field = "spec.selector" if document["kind"] == "Service" else "spec.selector.matchLabels"
        name = at(document, field, {}).get(key)
        if name is not None and name not in services:
            yield Finding(title(document), field, f"no InferenceService {name!r}: no pod is selected", "Name one")


def _graphs(documents: Sequence[Document]) -> Findings:
    for graph in _of(documents, "InferenceGraph"):
        nodes = at(graph, "spec.nodes", {})
        if "root" not in nodes:
            yield Finding(title(graph), "spec.nodes", "no root node", "Name one root")
        for name, node in nodes.items():
            weights = sum(step.get("weight", 0) for step in node.get("steps", []))
            if node.get("routerType") == "Splitter" and weights != 100:
                yield Finding(title(graph), f"spec.nodes.{name}.steps", f"weights add up to {weights}", "Write 100")


def _placeholders(documents: Sequence[Document]) -> Findings:
    for document in documents:
        for word in PLACEHOLDERS:
            if re.search(rf"{re.escape(word)}\b", yaml.safe_dump(dict(document))):
                yield Finding(title(document), "(document)", f"{word!r} is a placeholder", "Replace it")
