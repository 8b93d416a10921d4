"""Rules for who reaches the services and their metrics: network policies, ingresses, load balancers, tokens."""

import re
from collections.abc import Sequence

from modelport.manifests.findings import Document, Finding, Findings, at, of, title
from modelport.manifests.pods import pods

QUEUE_PROXY = {8012, 8013, 8112, 9090, 9091}
PLAIN_PATH = re.compile(r"[\w./~-]*", re.ASCII)
OPEN = ("0.0.0.0/0", "::/0")
SOURCE_RANGES = "Write loadBalancerSourceRanges"


def _queue_proxy(documents: Sequence[Document]) -> Findings:
    if not any(pod.mode == "Knative" for pod in pods(documents)):
        return
    for policy in of(documents, "NetworkPolicy"):
        rules = at(policy, "spec.ingress", [])
        missing = QUEUE_PROXY - {port.get("port") for rule in rules for port in rule.get("ports", [])}
        if "Ingress" in at(policy, "spec.policyTypes", []) and missing:
            yield Finding(
                title(policy),
                "spec.ingress",
                f"does not admit Knative's queue-proxy on {', '.join(map(str, sorted(missing)))}: no request arrives",
                "Add them",
            )


def _ingresses(documents: Sequence[Document]) -> Findings:
    for ingress in of(documents, "Ingress"):
        for rule in at(ingress, "spec.rules", []):
            for path in at(rule, "http.paths", []):
                if path.get("pathType") != "ImplementationSpecific" and not PLAIN_PATH.fullmatch(path.get("path", "")):
                    yield Finding(
                        title(ingress),
                        "spec.rules.http.paths",
                        f"controllers with strict validation refuse {path.get('path')!r} as {path.get('pathType')}",
                        "Write pathType ImplementationSpecific",
                    )


def _load_balancers(documents: Sequence[Document]) -> Findings:
    for service in of(documents, "Service"):
        ranges = at(service, "spec.loadBalancerSourceRanges", [])
        if at(service, "spec.type") == "LoadBalancer" and (not ranges or set(ranges) & set(OPEN)):
            field = "spec.loadBalancerSourceRanges"
            yield Finding(title(service), field, "everybody may call, and nothing checks tokens", SOURCE_RANGES)


def _gateways(documents: Sequence[Document]) -> Findings:
    secured = {
        target.get("name")
        for policy in of(documents, "SecurityPolicy")
        if at(policy, "spec.jwt")
        for target in at(policy, "spec.targetRefs", [])
    }
    proxies = {at(proxy, "metadata.name"): proxy for proxy in of(documents, "EnvoyProxy")}
    for proxy in proxies.values():
        if at(proxy, "spec.mergeType") != "StrategicMerge":
            yield Finding(
                title(proxy), "spec.mergeType", "the cluster's own settings of Envoy are lost", "Write StrategicMerge"
            )
    for gateway in of(documents, "Gateway"):
        if at(gateway, "metadata.name") in secured:
            yield from _plain_tokens(documents, gateway)
            continue
        proxy = proxies.get(at(gateway, "spec.infrastructure.parametersRef.name"), {})
        ranges = at(proxy, "spec.provider.kubernetes.envoyService.loadBalancerSourceRanges", [])
        if not ranges or set(ranges) & set(OPEN):
            yield Finding(
                title(gateway),
                "EnvoyProxy spec.provider.kubernetes.envoyService.loadBalancerSourceRanges",
                "everybody may call, and nothing checks tokens",
                f"{SOURCE_RANGES}, or check tokens (component jwt)",
            )


def _plain_tokens(documents: Sequence[Document], gateway: Document) -> Findings:
    encrypted = {each.get("name") for each in at(gateway, "spec.listeners", []) if each.get("protocol") == "HTTPS"}
    for route in of(documents, "HTTPRoute", "GRPCRoute"):
        backends = [backend for rule in at(route, "spec.rules", []) for backend in rule.get("backendRefs", [])]
        for parent in at(route, "spec.parentRefs", []):
            if (
                backends
                and parent.get("name") == at(gateway, "metadata.name")
                and parent.get("sectionName") not in encrypted
            ):
                yield Finding(
                    title(route),
                    "spec.parentRefs.sectionName",
                    "bearer tokens cross the network in plain HTTP, for others to read and use",
                    "Name a listener with TLS (component tls)",
                )


def _certificates(documents: Sequence[Document]) -> Findings:
    own = {at(issuer, "metadata.name") for issuer in of(documents, "Issuer") if "selfSigned" in at(issuer, "spec", {})}
    for certificate in of(documents, "Certificate"):
        if at(certificate, "spec.issuerRef.name") not in own:
            continue
        if not at(certificate, "spec.isCA"):
            yield Finding(
                title(certificate),
                "spec.isCA",
                "it signs for itself and is no authority: gRPC's clients and others cannot trust it",
                "Let an authority sign it (component tls)",
            )
        if not at(certificate, "spec.commonName"):
            yield Finding(
                title(certificate),
                "spec.commonName",
                "it signs for itself and would have an issuer without a name, which strict clients refuse (RFC 5280)",
                "Write a name",
            )


def _monitors(documents: Sequence[Document]) -> Findings:
    for monitor in of(documents, "PodMonitor", "ServiceMonitor", "PrometheusRule"):
        if "release" not in (at(monitor, "metadata.labels") or {}):
            yield Finding(
                title(monitor),
                "metadata.labels.release",
                "kube-prometheus-stack does not read it: no metrics, and KEDA counts none as 0",
                "Write the name of the stack's Helm release",
            )


RULES = (_queue_proxy, _ingresses, _load_balancers, _gateways, _certificates, _monitors)
