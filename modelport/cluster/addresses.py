"""Where callers reach what an overlay serves: addresses that controllers give, and the certificates behind them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelport.cluster import entries
from modelport.cluster.entries import Entry
from modelport.cluster.kubectl import READY_TIMEOUT_S, Kubectl, wait_until
from modelport.cluster.pods import Caller
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at

ISSUED_S = 600.0
OWNING_GATEWAY = (
    "gateway.envoyproxy.io/owning-gateway-name={name},gateway.envoyproxy.io/owning-gateway-namespace={namespace}"
)


@dataclass(frozen=True)
class Addresses:
    """Those of a deployed overlay."""

    cluster: Kubectl
    namespace: str
    documents: Sequence[Document]
    caller: Caller  # the pod that sends requests: it learns the names and certificates of gateways
    headers: Mapping[str, str]  # of every request, as tokens are

    def resolved(self, entry: Entry) -> Entry:
        """An entry whose address is known."""
        headers = {**entry.headers, **self.headers}
        if entry.kind == entries.INGRESS:
            return replace(entry, url=f"http://{self._ingress()}", headers=headers)
        if entry.kind != entries.GATEWAY:
            return replace(entry, headers=headers)
        url = self._secured() or self.plain_url()
        return replace(entry, url=url, grpc_url=url if entry.grpc_url else "", headers=headers)

    def plain_url(self) -> str:
        """The gateway's first listener, which is plain HTTP."""
        name, port = at(self._gateway, "metadata.name"), at(self._gateway, "spec.listeners.0.port")
        return f"http://{self._of_gateway(str(name), self.namespace)}:{port}"

    def kserve_gateway(self, name: str) -> Entry:
        """The gateway of KServe's own routes, as an InferenceService is called there."""
        config = self.cluster.get("configmap", "inferenceservice-config", "kserve") or {}
        found = re.search(r'"kserveIngressGateway"\s*:\s*"([^/"]+)/([^"]+)"', at(config, "data.ingress", ""))
        if not found:
            raise ClusterError("KServe's settings name no kserveIngressGateway")
        service = self.cluster.get("inferenceservice", name, self.namespace) or {}
        host = str(at(service, "status.url", "")).partition("://")[2]
        url = f"http://{self._of_gateway(found[2], found[1])}"
        return Entry(entries.KSERVE, url, headers={"host": host, **self.headers})

    def given(self, kind: str, name: str) -> str:
        """The address that a controller gives an Ingress or a Service; waits for it."""

        def address() -> str:
            told = at(self.cluster.get(kind, name, self.namespace) or {}, "status.loadBalancer.ingress.0", {})
            return str(told.get("ip") or told.get("hostname") or "")

        return wait_until(address, f"a controller gives the {kind} {name} an address", READY_TIMEOUT_S)

    @property
    def certificate(self) -> Document | None:
        """The Certificate that the overlay's gateway presents."""
        presented = [
            reference["name"]
            for gateway in self.documents
            if gateway["kind"] == "Gateway"
            for listener in at(gateway, "spec.listeners", [])
            for reference in at(listener, "tls.certificateRefs", [])
        ]
        declared = [one for one in self.documents if one["kind"] == "Certificate"]
        return next((one for one in declared if at(one, "spec.secretName") in presented), None)

    def issued(self) -> dict[str, str]:
        """What cert-manager issued, in PEM, by the keys of its Secret; waits for it."""
        name = str(at(self.certificate or {}, "spec.secretName"))

        def data() -> dict[str, str]:
            return dict(at(self.cluster.get("secret", name, self.namespace) or {}, "data", {}))

        found = wait_until(data, f"the certificate {name} is issued", ISSUED_S)
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    @property
    def _gateway(self) -> Document:
        return next(one for one in self.documents if one["kind"] == "Gateway")

    def _secured(self) -> str:
        """The gateway's HTTPS listener under its certificate's name, which the callers know and trust from now on."""
        ports = [one["port"] for one in at(self._gateway, "spec.listeners") if one["protocol"] == "HTTPS"]
        if not (self.certificate and ports):
            return ""
        host, issued = str(at(self.certificate, "spec.dnsNames.0")), self.issued()
        address = self._of_gateway(str(at(self._gateway, "metadata.name")), self.namespace)
        self.caller.trust(host, address, issued.get("ca.crt") or issued["tls.crt"])
        return f"https://{host}:{ports[0]}"

    def _of_gateway(self, name: str, namespace: str) -> str:
        def address() -> str:
            services = self.cluster.items("service", selector=OWNING_GATEWAY.format(name=name, namespace=namespace))
            if services:
                return str(at(services[0], "spec.clusterIP"))
            gateway = self.cluster.get("gateway", name, namespace) or {}
            return str(at(gateway, "status.addresses.0.value", ""))

        return wait_until(address, f"gateway {name} has an address", READY_TIMEOUT_S)

    def _ingress(self) -> str:
        name = next(str(at(one, "metadata.name")) for one in self.documents if one["kind"] == "Ingress")
        return self.given("ingress", name)
