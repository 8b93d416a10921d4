"""An overlay's documents, moved into a namespace of the test's own and fitted to the cluster that it runs on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.manifests.findings import Document, at
from modelport.manifests.pods import AUTOSCALER, MODE

OWN_NAMESPACE = "modelport"  # of an overlay that declares none
OWNED = "modelport.io/acceptance-test"  # label of every namespace and volume that the test made
NODE_FOLDER = "/var/tmp"  # noqa: S108 (of the node, for volumes that are folders of it)
PREFIX = "modelport-"  # of the names of routes
SCALED_REPLICAS = (1, 3)
WINDOW = "autoscaling.knative.dev/window"


@dataclass(frozen=True)
class Fit:
    """What a cluster gets instead of what an overlay declares."""

    namespace: str  # instead of the overlay's
    services: tuple[str, ...] = ()  # the documents of other services are left out; empty for all
    cpu: str | None = None  # each container's requested CPU; None for the declared ones
    # node ports that other Services of the cluster have; those of the overlay are then chosen by it
    taken_ports: Collection[int] = ()
    # a folder of the node for claims that no storage class would provide; None where one does
    node_folder: str | None = None
    key_set: str = ""  # address of the key set that signs the test's tokens
    store_secret: str = ""  # name of a Secret with the credentials of the test's own S3 store; empty without one
    envoy_image: str = ""  # of the gateway's proxies, where nodes cannot pull Envoy Gateway's own choice


def relocate(documents: Iterable[Document], fit: Fit, declared_services: Collection[str]) -> list[dict[str, Any]]:
    """Copies of the documents for the test's namespace; cluster-wide objects but volumes are left out.

    Args:
        documents: of a rendered overlay.
        fit: what differs.
        declared_services: names of all services, by which documents are told apart.
    """
    moved: list[dict[str, Any]] = []
    documents = list(documents)
    own = next((str(at(one, "metadata.name")) for one in documents if one["kind"] == "Namespace"), OWN_NAMESPACE)
    for document in documents:
        kind, name = document["kind"], str(at(document, "metadata.name"))
        service = owner(name, declared_services)
        if fit.services and service and service not in fit.services:
            continue
        if kind not in ("Namespace", "PersistentVolume") and "namespace" not in document["metadata"]:
            continue
        new = _replaced(copy.deepcopy(dict(document)), own, fit.namespace)
        for change in _CHANGES.get(kind, ()):
            change(new, fit)
        moved.append(new)
    return moved + _volumes(moved, fit)


def owner(name: str, services: Iterable[str]) -> str | None:
    """The service that a document of this name belongs to, None for what all have in common."""
    bare = name.removeprefix(PREFIX)
    return next((one for one in services if bare == one or bare.startswith(f"{one}-")), None)


def _replaced(value: Any, own: str, namespace: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _replaced(one, own, namespace, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, own, namespace) for one in value]
    if not isinstance(value, str):
        return value
    if (key == "namespace" or key.endswith("-namespace")) and value == own:
        return namespace
    return value.replace(f".{own}.svc", f".{namespace}.svc").replace(".tracing.svc", f".{namespace}-caller.svc")


def _namespace(document: dict[str, Any], fit: Fit) -> None:
    document["metadata"]["name"] = fit.namespace
    document["metadata"].setdefault("labels", {})[OWNED] = "true"


def _service(document: dict[str, Any], fit: Fit) -> None:
    for port in at(document, "spec.ports", []):
        if port.get("nodePort") in fit.taken_ports:
            del port["nodePort"]


def _inference_service(document: dict[str, Any], fit: Fit) -> None:
    annotations = document["metadata"].get("annotations", {})
    if annotations.get(MODE) == "Knative":
        annotations[WINDOW] = "20s"  # former revisions go, and replicas, after this time instead of a minute
    if annotations.get(AUTOSCALER) in ("hpa", "keda") or annotations.get(MODE) == "Knative":
        predictor = document["spec"]["predictor"]
        predictor["minReplicas"], predictor["maxReplicas"] = SCALED_REPLICAS
    canaries = [canary["predictor"] for canary in document["spec"].get("canary") or []]
    for predictor in (document["spec"]["predictor"], *canaries):
        _request((predictor.get("model") or {}, *predictor.get("containers", [])), fit)


def _job(document: dict[str, Any], fit: Fit) -> None:
    _request(document["spec"]["template"]["spec"]["containers"], fit)


def _request(containers: Iterable[dict[str, Any]], fit: Fit) -> None:
    for container in containers:
        if fit.cpu is not None and "requests" in container.get("resources", {}):
            container["resources"]["requests"]["cpu"] = fit.cpu


def _security_policy(document: dict[str, Any], fit: Fit) -> None:
    for provider in at(document, "spec.jwt.providers", []) if fit.key_set else []:
        provider["remoteJWKS"] = {"uri": fit.key_set}


def _envoy_proxy(document: dict[str, Any], fit: Fit) -> None:
    if fit.envoy_image:
        kubernetes = document["spec"]["provider"]["kubernetes"]
        kubernetes.setdefault("envoyDeployment", {}).setdefault("container", {})["image"] = fit.envoy_image


def _service_account(document: dict[str, Any], fit: Fit) -> None:
    if fit.store_secret:
        document["secrets"] = [{"name": fit.store_secret}]


def _volume(document: dict[str, Any], fit: Fit) -> None:
    document["metadata"]["name"] += f"-{fit.namespace}"
    document["metadata"].setdefault("labels", {})[OWNED] = fit.namespace
    if at(document, "spec.hostPath"):
        document["spec"]["hostPath"] = _folder(document["metadata"]["name"], fit)


def _folder(name: str, fit: Fit) -> dict[str, str]:
    return {"path": f"{fit.node_folder or NODE_FOLDER}/{name}", "type": "DirectoryOrCreate"}


def _claim(document: dict[str, Any], fit: Fit) -> None:
    if at(document, "spec.volumeName"):
        document["spec"]["volumeName"] += f"-{fit.namespace}"
    elif fit.node_folder:
        name = f"{document['metadata']['name']}-{fit.namespace}"
        document["spec"] |= {"volumeName": name, "storageClassName": "modelport-host"}


_CHANGES: Mapping[str, Sequence[Callable[[dict[str, Any], Fit], None]]] = {
    "Namespace": (_namespace,),
    "Service": (_service,),
    "InferenceService": (_inference_service,),
    "Job": (_job,),
    "SecurityPolicy": (_security_policy,),
    "EnvoyProxy": (_envoy_proxy,),
    "ServiceAccount": (_service_account,),
    "PersistentVolume": (_volume,),
    "PersistentVolumeClaim": (_claim,),
}


def _volumes(documents: Sequence[Document], fit: Fit) -> list[dict[str, Any]]:
    """A volume for each claim that names one which no document declares."""
    declared = {at(one, "metadata.name") for one in documents if one["kind"] == "PersistentVolume"}
    claims = [one for one in documents if one["kind"] == "PersistentVolumeClaim"]
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": at(claim, "spec.volumeName"), "labels": {OWNED: fit.namespace}},
            "spec": {
                "storageClassName": "modelport-host",
                "capacity": {"storage": at(claim, "spec.resources.requests.storage")},
                "accessModes": at(claim, "spec.accessModes"),
                "hostPath": _folder(at(claim, "spec.volumeName"), fit),
            },
        }
        for claim in claims
        if at(claim, "spec.volumeName") and at(claim, "spec.volumeName") not in declared
    ]
