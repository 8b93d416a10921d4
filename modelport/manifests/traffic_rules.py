"""Rules for what a gateway does with requests: retries that can work, and no request to a pod that is not ready."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kserve_transformers.settings import Limits
from modelport.manifests.findings import Document, Finding, Findings, at, of, quantity, title

PARALLEL_RETRIES = 64
ROUTES = ("HTTPRoute", "GRPCRoute")
_BUFFERS = {
    "connection.bufferLimit": ("bodies over the limit (32 KiB by default) are not retried", "Write 21Mi"),
    "http2.initialStreamWindowSize": ("over HTTP/2 bodies over the window (64 KiB by default) are not retried", "21Mi"),
    "http2.initialConnectionWindowSize": ("it bounds the windows of its streams", "Write 21Mi or more"),
}


def _endpoints(documents: Sequence[Document]) -> Findings:
    services = {
        f"{at(s, 'metadata.name')}.{at(s, 'metadata.namespace')}.svc.cluster.local": s for s in of(documents, "Service")
    }
    for backend in of(documents, "Backend"):
        for index, endpoint in enumerate(at(backend, "spec.endpoints", [])):
            field = f"spec.endpoints.{index}.fqdn"
            host, port = at(endpoint, "fqdn.hostname", ""), at(endpoint, "fqdn.port")
            if ".svc" not in host:
                continue
            service = services.get(host)
            if service is None:
                yield Finding(title(backend), field, f"no Service {host!r} is rendered", "Name one that is")
            elif at(service, "spec.clusterIP") != "None":
                yield Finding(
                    title(backend),
                    field,
                    "a ClusterIP is one endpoint to Envoy: new replicas get no requests, one bad pod ejects all",
                    "Name a headless Service (clusterIP: None)",
                )
            elif port not in [each.get("port") for each in at(service, "spec.ports", [])]:
                yield Finding(title(backend), field, f"{port} is no port of the pods behind {host}", "Write 8080")


def _buffers(documents: Sequence[Document]) -> Findings:
    if not any(at(backend, "spec.fallback") for backend in of(documents, "Backend")):
        return
    policies = list(of(documents, "ClientTrafficPolicy"))
    for field, (problem, fix) in _BUFFERS.items():
        if max((quantity(at(policy, f"spec.{field}", 0)) for policy in policies), default=0) < Limits.body_bytes:
            yield Finding("ClientTrafficPolicy", f"spec.{field}", f"{problem}: images get no fallback", fix)


def _retries(documents: Sequence[Document]) -> Findings:
    fallbacks = {at(backend, "metadata.name") for backend in of(documents, "Backend") if at(backend, "spec.fallback")}
    checked: set[str] = set()
    for route in of(documents, *ROUTES):
        references = [r.get("name") for rule in at(route, "spec.rules", []) for r in rule.get("backendRefs", [])]
        if not fallbacks & set(references):
            continue
        retrying = [policy for policy in _targeting(documents, route) if at(policy, "spec.retry")]
        if not retrying:
            yield Finding(title(route), "BackendTrafficPolicy spec.retry", "no request is retried", "Write retry")
        for policy in retrying:
            if title(policy) not in checked:
                checked.add(title(policy))
                yield from _retry(policy)


def _retry(policy: Document) -> Findings:
    if at(policy, "spec.retry.numAttemptsPerPriority") != 1:
        yield Finding(title(policy), "spec.retry.numAttemptsPerPriority", "the retry reaches the same pods", "Write 1")
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


def _unready(documents: Sequence[Document]) -> Findings:
    """A pod that is not ready must get no request, and the caller must be told when to try again."""
    for route in of(documents, *ROUTES):
        applied = _applied(documents, route)
        if at(applied, "healthCheck.panicThreshold") != 0:
            yield Finding(
                title(route),
                "BackendTrafficPolicy spec.healthCheck.panicThreshold",
                "while few pods are ready, Envoy sends requests to the unready ones",
                "Write 0",
            )
        if route["kind"] == "HTTPRoute" and not any(map(_retry_after, at(applied, "responseOverride", []))):
            yield Finding(
                title(route),
                "BackendTrafficPolicy spec.responseOverride",
                "Envoy's own 503 does not say when to try again",
                "Set the header Retry-After for 503 from source Local",
            )


def _retry_after(override: Mapping[str, Any]) -> bool:
    statuses = [status.get("value") for status in at(override, "match.statusCodes", [])]
    headers = [header.get("name", "").lower() for header in at(override, "response.header.set", [])]
    return 503 in statuses and "retry-after" in headers and override.get("source") != "Backend"


def _targeting(documents: Sequence[Document], target: Document) -> Iterator[Document]:
    named = (target.get("kind"), at(target, "metadata.name"))
    for policy in of(documents, "BackendTrafficPolicy"):
        if named in [(t.get("kind"), t.get("name")) for t in at(policy, "spec.targetRefs", [])]:
            yield policy


def _applied(documents: Sequence[Document], route: Document) -> Mapping[str, Any]:
    """What applies to a route: its own policy, with its Gateway's where the two are merged, or else its Gateway's."""
    parents = {parent.get("name") for parent in at(route, "spec.parentRefs", [])}
    gateways = [gateway for gateway in of(documents, "Gateway") if at(gateway, "metadata.name") in parents]
    inherited = [policy for gateway in gateways for policy in _targeting(documents, gateway)]
    own = list(_targeting(documents, route))
    if own and not any(at(policy, "spec.mergeType") for policy in own):
        inherited = []
    applied: dict[str, Any] = {}
    for policy in (*inherited, *own):
        applied.update(at(policy, "spec", {}))
    return applied


RULES = (_endpoints, _buffers, _retries, _unready)
