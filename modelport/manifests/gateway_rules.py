"""Rules between documents: what refers to another document, and what must not be left as it was written here."""

import re
from collections.abc import Sequence

from modelport.manifests.findings import Document, Finding, Findings, at, names, of, text, title

VISIBILITY = "networking.kserve.io/visibility"
PLACEHOLDERS = (":latest", "REPLACE_ME", "TODO", "SERVICE")


def _gateway_class(documents: Sequence[Document]) -> Findings:
    for document in of(documents, "GatewayClass"):
        yield Finding(
            title(document),
            "kind",
            "its finalizer keeps `make undeploy` waiting while another Gateway uses it",
            "Apply manifests/gateway-class.yaml once, with Envoy Gateway",
        )


def _kserve_routes(documents: Sequence[Document]) -> Findings:
    routes, services = list(of(documents, "HTTPRoute")), names(documents, "InferenceService")
    for route in routes:
        if at(route, "metadata.name", "").removesuffix("-predictor") in services:
            yield Finding(
                title(route), "metadata.name", "KServe overwrites a route of this name", "Write modelport-SERVICE"
            )
    for service in of(documents, "InferenceService"):
        if routes and (at(service, "metadata.labels") or {}).get(VISIBILITY) != "cluster-local":
            yield Finding(
                title(service),
                f"metadata.labels.{VISIBILITY}",
                "KServe makes a route of its own, past the policies of the gateway",
                "Write cluster-local",
            )


def _backends(documents: Sequence[Document]) -> Findings:
    fallbacks = {at(backend, "metadata.name") for backend in of(documents, "Backend") if at(backend, "spec.fallback")}
    for route in of(documents, "HTTPRoute", "GRPCRoute"):
        for index, rule in enumerate(at(route, "spec.rules", [])):
            field, references = f"spec.rules.{index}.backendRefs", rule.get("backendRefs", [])
            mirrors = [at(one, "requestMirror.backendRef") for one in rule.get("filters", []) if "requestMirror" in one]
            kinds = {reference.get("kind", "Service") for reference in references}
            for reference in (*references, *mirrors):
                kind, name = reference.get("kind", "Service"), reference.get("name")
                if name not in names(documents, kind):
                    yield Finding(title(route), field, f"no {kind} {name!r} is rendered", "Name one that is")
            if "Service" in kinds and fallbacks & {reference.get("name") for reference in references}:
                yield Finding(
                    title(route),
                    field,
                    "a fallback Backend loses its priority beside a Service",
                    "Use Backends for both",
                )


def _policies(documents: Sequence[Document]) -> Findings:
    for policy in of(documents, "BackendTrafficPolicy", "ClientTrafficPolicy", "SecurityPolicy"):
        for target in at(policy, "spec.targetRefs", []):
            if target.get("name") not in names(documents, target.get("kind", "")):
                yield Finding(
                    title(policy), "spec.targetRefs", f"no {target.get('kind')} {target.get('name')!r}", "Name one"
                )


def _selectors(documents: Sequence[Document]) -> Findings:
    key, services = "serving.kserve.io/inferenceservice", names(documents, "InferenceService")
    for document in of(documents, "Service", "PodDisruptionBudget"):
        field = "spec.selector" if document["kind"] == "Service" else "spec.selector.matchLabels"
        name = at(document, field, {}).get(key)
        if services and name is not None and name not in services:
            yield Finding(title(document), field, f"no InferenceService {name!r}: no pod is selected", "Name one")


def _graphs(documents: Sequence[Document]) -> Findings:
    for graph in of(documents, "InferenceGraph"):
        nodes = at(graph, "spec.nodes", {})
        if "root" not in nodes:
            yield Finding(title(graph), "spec.nodes", "no root node", "Name one root")
        for name, node in nodes.items():
            weights = sum(step.get("weight", 0) for step in node.get("steps", []))
            if node.get("routerType") == "Splitter" and weights != 100:
                yield Finding(title(graph), f"spec.nodes.{name}.steps", f"weights add up to {weights}", "Write 100")


def _placeholders(documents: Sequence[Document]) -> Findings:
    for document in documents:
        content = text(document)
        for word in PLACEHOLDERS:
            if re.search(rf"{re.escape(word)}\b", content):
                yield Finding(title(document), "(document)", f"{word!r} is a placeholder", "Replace it")


RULES = (_gateway_class, _kserve_routes, _backends, _policies, _selectors, _graphs, _placeholders)
