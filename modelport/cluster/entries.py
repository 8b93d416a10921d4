"""Where callers inside the cluster reach each service of an overlay, read from its documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kserve_transformers.service_spec import ServiceSpec
from modelport.cluster.relocation import PREFIX
from modelport.manifests.findings import Document, at
from modelport.manifests.pods import MODE

SERVICE_LABEL = "serving.kserve.io/inferenceservice"
GATEWAY, INGRESS, SERVICE, KSERVE = "gateway", "ingress", "service", "KServe"


@dataclass(frozen=True)
class Entry:
    """A way to a service."""

    kind: str  # GATEWAY (our HTTPRoute), INGRESS, SERVICE (our own Service), KSERVE (the one that KServe makes)
    url: str = ""  # of REST, without a path; of a gateway or an Ingress it is known once that has an address
    grpc_url: str = ""  # of gRPC, empty where this way has none
    headers: Mapping[str, str] = field(default_factory=dict)  # that each request needs


def services(documents: Iterable[Document]) -> dict[str, ServiceSpec]:
    """What the pods of each InferenceService declare to serve, by the InferenceService's name."""
    found = {}
    for document in documents:
        if document["kind"] == "InferenceService":
            arguments = [one for box in at(document, "spec.predictor.containers", []) for one in box.get("args", [])]
            declared = next(one for one in arguments if one.startswith("--service="))
            found[str(at(document, "metadata.name"))] = ServiceSpec.parse(declared.removeprefix("--service="))
    return found


def entries(documents: Sequence[Document], name: str, namespace: str) -> list[Entry]:
    """The ways to an InferenceService, the one that callers are meant to take first.

    Args:
        documents: of the relocated overlay.
        name: of the InferenceService.
        namespace: that they are in.
    """
    found = []
    routes = {one["kind"]: one for one in documents if at(one, "metadata.name") == f"{PREFIX}{name}"}
    if "HTTPRoute" in routes:
        wanted = at(routes.get("GRPCRoute", {}), "spec.rules.0.matches.0.headers", [])
        headers = {str(one["name"]): str(one["value"]) for one in wanted}
        found.append(Entry(GATEWAY, grpc_url=GATEWAY if "GRPCRoute" in routes else "", headers=headers))
    if any(one["kind"] == "Ingress" for one in documents):
        found.append(Entry(INGRESS))
    own = [
        one for one in documents if one["kind"] == "Service" and at(one, "spec.selector", {}).get(SERVICE_LABEL) == name
    ]
    for document in own:
        host = f"{at(document, 'metadata.name')}.{namespace}.svc.cluster.local"
        ports = {port["name"]: port["port"] for port in at(document, "spec.ports", [])}
        grpc = f"http://{host}:{ports['grpc']}" if "grpc" in ports else ""
        if "http" in ports:
            found.append(Entry(SERVICE, f"http://{host}:{ports['http']}", grpc))
    if not found:
        found.append(Entry(KSERVE, f"http://{name}-predictor.{namespace}.svc.cluster.local"))
    return found


def mode(documents: Iterable[Document]) -> str:
    """The deployment mode of the overlay."""
    return next(
        str(at(one, "metadata.annotations", {}).get(MODE)) for one in documents if one["kind"] == "InferenceService"
    )
