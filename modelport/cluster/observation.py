"""What a cluster is and has, as far as overlays depend on it: read by kubectl, kept as plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelport.cluster.kubectl import Kubectl
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at, quantity

ACCESS_LABEL = "modelport/access"
# Controllers that enforce NetworkPolicy, by a part of the name of their DaemonSet, Deployment or configuration.
POLICY_CONTROLLERS = (
    "calico",
    "cilium",
    "antrea",
    "kube-router",
    "weave-net",
    "kindnet",
    "anetd",
    "ovnkube",
    "aws-node",
    "azure-npm",
)
# The controllers of groups of custom resources, by a part of the name or image of their Deployment.
CONTROLLERS = {
    "serving.kserve.io": "kserve-controller",
    "serving.knative.dev": "knative.dev/serving/cmd/controller",
    "keda.sh": "keda-operator",
    "monitoring.coreos.com": "prometheus-operator",
    "autoscaling.k8s.io": "vpa-recommender",
    "cert-manager.io": "cert-manager",
}
# What reports name beside KServe and Envoy Gateway, by the same parts.
_NAMED = {
    "Knative": CONTROLLERS["serving.knative.dev"],
    "KEDA": CONTROLLERS["keda.sh"],
    "cert-manager": CONTROLLERS["cert-manager.io"],
    "Prometheus operator": CONTROLLERS["monitoring.coreos.com"],
    "Contour": "projectcontour/contour",
}
NOT_IN_A_POD = "not in a pod"
_CRD_GROUPS = re.compile(r"^[^.]+\.(?P<group>.+)$")


@dataclass(frozen=True)
class StorageClass:
    """A storage class."""

    name: str
    provisioner: str
    default: bool


@dataclass(frozen=True)
class Observations:
    """A cluster."""

    kubernetes: str  # its version, as in v1.35.4
    nodes: int = 1  # how many can take pods
    architectures: tuple[str, ...] = ("amd64",)  # of the nodes
    cpu: float = 0.0  # cores that all nodes offer to pods together
    memory_gib: float = 0.0  # likewise, memory
    gpus: int = 0  # how many nvidia.com/gpu they offer
    crds: frozenset[str] = frozenset()  # names of all custom resource definitions
    images: Mapping[str, str] = field(default_factory=dict)  # of all Deployments and DaemonSets, by their names
    kserve: Mapping[str, str] | None = None  # KServe's settings by key of its ConfigMap; None where there is none
    envoy_gateway: str | None = None  # Envoy Gateway's settings as text; None where there is none
    gateway_classes: Mapping[str, str] = field(default_factory=dict)  # the accepted ones, with their controllers
    gateways: tuple[str, ...] = ()  # as NAMESPACE/NAME
    ingress_classes: tuple[str, ...] = ()  # their names
    default_ingress_class: str = ""  # which of them takes an Ingress without a class
    storage_classes: tuple[StorageClass, ...] = ()  # all
    metrics: bool = False  # whether the API for HPAs answers
    # ResourceQuotas in the namespace `modelport`, as name and what is left of each resource
    quotas: tuple[str, ...] = ()
    policy_controller: str | None = None  # what enforces NetworkPolicies; None where nothing known does
    # namespaces by the value of their label modelport/access
    access: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def minor(self) -> int:
        """The minor version of Kubernetes 1."""
        found = re.match(r"v?1\.(\d+)", self.kubernetes)
        return int(found[1]) if found else 0

    @property
    def groups(self) -> frozenset[str]:
        """The API groups of all custom resources."""
        return frozenset(match["group"] for match in map(_CRD_GROUPS.match, self.crds) if match)

    def kserve_setting(self, key: str, name: str) -> object:
        """A value of KServe's settings, None where it is not set."""
        try:
            return json.loads((self.kserve or {}).get(key, "{}")).get(name)
        except (ValueError, AttributeError):
            return None

    def version_of(self, part: str) -> str:
        """The tag of the image of the controller whose name or image contains `part`, or NOT_IN_A_POD."""
        found = next((image for name, image in self.images.items() if part in name or part in image), None)
        if found is None:
            return NOT_IN_A_POD
        return found.partition("@")[0].rpartition("/")[2].partition(":")[2] or "of an unknown version"

    def lines(self) -> Iterable[str]:
        """The cluster, one thing a line."""
        storage = ", ".join(one.name + (" (default)" if one.default else "") for one in self.storage_classes)
        nodes = f"{self.nodes} node{'s' if self.nodes > 1 else ''}"
        room = f"{self.cpu:g} CPUs, {self.memory_gib:.0f} GiB"
        yield f"Kubernetes       {self.kubernetes}, {nodes}, {'/'.join(self.architectures)}, {room}"
        yield f"KServe           {self._kserve()}"
        classes = ", ".join(self.gateway_classes) or "none accepted"
        installed = "installed" if "gateway.networking.k8s.io" in self.groups else "not installed"
        yield f"Gateway API      {installed}; classes: {classes}"
        switch = f"{self.version_of('envoy-gateway')}, Backend API {'on' if self.backend_api else 'off'}"
        yield f"Envoy Gateway    {'not installed' if self.backend_api is None else switch}"
        yield f"cert-manager     {self._installed('cert-manager.io')}"
        yield f"metrics API      {'answers' if self.metrics else 'missing'}"
        yield f"KEDA             {self._installed('keda.sh')}"
        yield f"Prometheus       {self._installed('monitoring.coreos.com')}"
        yield f"Knative          {self._installed('serving.knative.dev')}"
        yield f"storage classes  {storage or 'none'}"
        yield f"network policy   {self.policy_controller or 'no known controller enforces it'}"
        yield f"quotas           {', '.join(self.quotas) or 'none'}"

    @property
    def backend_api(self) -> bool | None:
        """Whether Envoy Gateway's Backend API is switched on; None without Envoy Gateway."""
        if self.envoy_gateway is None:
            return None
        return re.search(r'enableBackend"?\s*:\s*true', self.envoy_gateway) is not None

    def summary(self) -> str:
        """The versions in one line, for reports."""
        parts = [f"Kubernetes {self.kubernetes.removeprefix('v')}"]
        if self.kserve is not None:
            parts.append(
                f"KServe {self.version_of('kserve-controller')}".replace("not in a pod", "outside of the cluster")
            )
        if self.envoy_gateway is not None:
            parts.append(f"Envoy Gateway {self.version_of('envoy-gateway')}")
        others = {name: self.version_of(part) for name, part in _NAMED.items()}
        parts += [f"{name} {version}" for name, version in others.items() if version != NOT_IN_A_POD]
        return ", ".join(parts)

    def _kserve(self) -> str:
        if self.kserve is None:
            return "not installed"
        gateway = "on" if self.kserve_setting("ingress", "enableGatewayApi") else "off"
        mode = self.kserve_setting("deploy", "defaultDeploymentMode")
        return f"{self.version_of('kserve-controller')}, mode {mode}, Gateway API {gateway}"

    def _installed(self, group: str) -> str:
        return self.version_of(CONTROLLERS[group]) if group in self.groups else "not installed"


def observe(cluster: Kubectl) -> Observations:
    """Look at a cluster; what the caller may not read counts as missing."""
    nodes = [one for one in _items(cluster, "node") if not at(one, "spec.unschedulable")]
    workloads = [*_items(cluster, "deployment"), *_items(cluster, "daemonset")]
    namespaces, classes = _items(cluster, "namespace"), _items(cluster, "ingressclass")
    names = [at(one, "metadata.name", "") for one in workloads]
    names += [at(one, "metadata.name", "") for one in _items(cluster, "clusterrole")]
    config = _get(cluster, "configmap", "inferenceservice-config", "kserve")
    gateway = next(
        (one for one in _items(cluster, "configmap") if at(one, "metadata.name") == "envoy-gateway-config"), None
    )
    return Observations(
        kubernetes=str(json.loads(cluster.run("get", "--raw", "/version"))["gitVersion"]),
        nodes=len(nodes),
        architectures=tuple(sorted({at(one, "status.nodeInfo.architecture", "") for one in nodes})),
        cpu=sum(quantity(at(one, "status.allocatable.cpu", "0")) for one in nodes),
        memory_gib=sum(quantity(at(one, "status.allocatable.memory", "0")) for one in nodes) / 2**30,
        gpus=round(sum(quantity(at(one, "status.allocatable", {}).get("nvidia.com/gpu", "0")) for one in nodes)),
        crds=frozenset(at(one, "metadata.name", "") for one in _items(cluster, "customresourcedefinition")),
        images={at(one, "metadata.name", ""): image_of(one) for one in workloads},
        kserve=at(config, "data") if config else None,
        envoy_gateway=json.dumps(gateway["data"]) if gateway else None,
        gateway_classes={
            at(one, "metadata.name", ""): at(one, "spec.controllerName", "")
            for one in _items(cluster, "gatewayclass")
            if _true(one, "Accepted")
        },
        gateways=tuple(
            f"{at(one, 'metadata.namespace')}/{at(one, 'metadata.name')}" for one in _items(cluster, "gateway")
        ),
        ingress_classes=tuple(at(one, "metadata.name", "") for one in classes),
        default_ingress_class=next(
            (at(one, "metadata.name") for one in classes if _is_default(one, "ingressclass")), ""
        ),
        storage_classes=tuple(map(_storage_class, _items(cluster, "storageclass"))),
        metrics=_true(_get(cluster, "apiservice", "v1beta1.metrics.k8s.io") or {}, "Available"),
        quotas=tuple(map(_quota, _items(cluster, "resourcequota", "modelport"))),
        policy_controller=next((known for known in POLICY_CONTROLLERS if any(known in name for name in names)), None),
        access={
            value: [
                at(one, "metadata.name", "")
                for one in namespaces
                if at(one, "metadata.labels", {}).get(ACCESS_LABEL) == value
            ]
            for value in ("gateway", "monitoring")
        },
    )


def image_of(workload: Document) -> str:
    """The image of a workload's first container, with the version that its label tells where it has no tag."""
    image = str(at(workload, "spec.template.spec.containers.0.image", ""))
    name, sign, digest = image.partition("@")
    version = at(workload, "metadata.labels", {}).get("app.kubernetes.io/version")
    return f"{name}:{version}{sign}{digest}" if version and ":" not in name.rpartition("/")[2] else image


def _items(cluster: Kubectl, kind: str, namespace: str = "") -> list[Document]:
    try:
        return cluster.items(kind, namespace)
    except ClusterError as error:
        if "Forbidden" in str(error):
            return []
        raise


def _get(cluster: Kubectl, kind: str, name: str, namespace: str = "") -> Document | None:
    try:
        return cluster.get(kind, name, namespace)
    except ClusterError as error:
        if "Forbidden" in str(error):
            return None
        raise


def _storage_class(document: Document) -> StorageClass:
    name, provisioner = at(document, "metadata.name", ""), str(document.get("provisioner", ""))
    return StorageClass(name, provisioner, _is_default(document, "storageclass"))


def _is_default(document: Document, kind: str) -> bool:
    return bool(at(document, "metadata.annotations", {}).get(f"{kind}.kubernetes.io/is-default-class") == "true")


def _quota(document: Document) -> str:
    hard, used = at(document, "status.hard", {}), at(document, "status.used", {})
    return f"{at(document, 'metadata.name')} ({', '.join(f'{key} {used.get(key, 0)} of {hard[key]}' for key in hard)})"


def _true(document: Document, condition: str) -> bool:
    return any(one["type"] == condition and one["status"] == "True" for one in at(document, "status.conditions", []))
