"""What a cluster lacks for an overlay, and the line that installs it: a pure function of documents and observations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from modelport.cluster.observation import CONTROLLERS, NOT_IN_A_POD, Observations
from modelport.manifests.findings import Document, at, quantity
from modelport.manifests.pods import AUTOSCALER, MODE, pods

MINOR, IMAGE_VOLUMES_MINOR = 32, 35
KSERVE_RELEASE = (0, 21)
VISIBILITY = "networking.kserve.io/visibility"
OCI_SWITCHES = ("enableOciModelSupport", "enableModelcar", "ociModelMode")
SETTINGS = "the ConfigMap inferenceservice-config of the namespace kserve"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True)
class Lack:
    """Something that an overlay needs and a cluster does not have."""

    what: str  # is missing or wrong, and what was found
    fix: str  # the command that installs it, or what to change
    required: bool = True  # without it the overlay does not work; otherwise something that it promises does not hold

    def __str__(self) -> str:
        return f"{'missing' if self.required else 'warning'}: {self.what}\n      {self.fix}"


Lacks = Iterator[Lack]
_HELM = "helm upgrade --install"
KSERVE = f"{_HELM} kserve-resources oci://ghcr.io/kserve/charts/kserve-resources --version v0.21.0 -n kserve"
_ENVOY_GATEWAY = (  # its chart brings Gateway API
    f"{_HELM} eg oci://docker.io/envoyproxy/gateway-helm --version v1.9.1 -n envoy-gateway-system "
    "--create-namespace --set config.envoyGateway.extensionApis.enableBackend=true"
)
INSTALL = {
    "KServe": (
        f"{_HELM} kserve-crd oci://ghcr.io/kserve/charts/kserve-crd --version v0.21.0 -n kserve --create-namespace && "
        f"{KSERVE} --set kserve.controller.deploymentMode=Standard --wait"
    ),
    "Gateway API": _ENVOY_GATEWAY,
    "Envoy Gateway": _ENVOY_GATEWAY,
    "GatewayClass": "kubectl apply -f manifests/gateway-class.yaml",
    "KServe's Gateway API routes": (
        f"{KSERVE} --reuse-values --set kserve.controller.gateway.ingressGateway.enableGatewayApi=true "
        "--set kserve.controller.gateway.ingressGateway.createGateway=true"
    ),
    "Knative": (
        "kubectl apply -f https://github.com/knative/serving/releases/download/knative-v1.21.1/serving-crds.yaml "
        "-f https://github.com/knative/serving/releases/download/knative-v1.21.1/serving-core.yaml "
        "(and a network layer, such as net-kourier)"
    ),
    "KEDA": f"{_HELM} keda keda --repo https://kedacore.github.io/charts -n keda --create-namespace --version 2.18.0",
    "Prometheus operator": (
        f"{_HELM} kube-prometheus-stack kube-prometheus-stack "
        "--repo https://prometheus-community.github.io/helm-charts -n monitoring --create-namespace"
    ),
    "Vertical Pod Autoscaler": (
        f"{_HELM} vpa vertical-pod-autoscaler --repo https://kubernetes.github.io/autoscaler -n kube-system"
    ),
    "cert-manager": (
        "kubectl apply -f https://github.com/cert-manager/cert-manager/releases/download/v1.17.0/cert-manager.yaml"
    ),
    "Sigstore policy-controller": (
        f"{_HELM} policy-controller policy-controller --repo https://sigstore.github.io/helm-charts "
        "-n cosign-system --create-namespace"
    ),
    "metrics-server": (
        f"{_HELM} metrics-server metrics-server --repo https://kubernetes-sigs.github.io/metrics-server -n kube-system"
    ),
}
# What brings a group of custom resources.
_GROUPS = {
    "serving.kserve.io": "KServe",
    "serving.knative.dev": "Knative",
    "gateway.networking.k8s.io": "Gateway API",
    "gateway.envoyproxy.io": "Envoy Gateway",
    "keda.sh": "KEDA",
    "monitoring.coreos.com": "Prometheus operator",
    "autoscaling.k8s.io": "Vertical Pod Autoscaler",
    "cert-manager.io": "cert-manager",
    "policy.sigstore.dev": "Sigstore policy-controller",
}


def lacks(documents: Sequence[Document], cluster: Observations) -> list[Lack]:
    """What a cluster lacks for the rendered documents of an overlay, required things first."""
    found = [lack for rule in _RULES for lack in rule(documents, cluster)]
    return sorted(dict.fromkeys(found), key=lambda lack: not lack.required)


def _kubernetes(documents: Sequence[Document], cluster: Observations) -> Lacks:
    volumes = any(address.startswith(("oci://", "oci+native://")) for address in _addresses(documents))
    needed = IMAGE_VOLUMES_MINOR if volumes else MINOR
    if cluster.minor < needed:
        why = " (image volumes)" if volumes else ""
        yield Lack(f"Kubernetes 1.{needed} or newer{why}: this is {cluster.kubernetes}", "upgrade the cluster")
    if "amd64" not in cluster.architectures:
        yield Lack(
            f"a node with amd64: the nodes are {'/'.join(cluster.architectures)}",
            "add a node pool with x86-64 machines",
        )


def _custom_resources(documents: Sequence[Document], cluster: Observations) -> Lacks:
    for group in dict.fromkeys(str(one.get("apiVersion", "")).rpartition("/")[0] for one in documents):
        yield from _group(group, cluster)


def _group(group: str, cluster: Observations) -> Lacks:
    """What brings a group of custom resources, and the controller that acts on them."""
    name = _GROUPS.get(group, "")
    if name and group not in cluster.groups:
        yield Lack(f"{name} (the API group {group})", INSTALL[name])
    elif group in CONTROLLERS and cluster.version_of(CONTROLLERS[group]) == NOT_IN_A_POD:
        fix = f"{INSTALL[name]} (nothing to do where it runs outside of the cluster's pods)"
        yield Lack(f"no pod runs the controller of {name}: its objects may have no effect", fix, required=False)


def _kserve(documents: Sequence[Document], cluster: Observations) -> Lacks:
    if "serving.kserve.io" in cluster.groups and cluster.kserve is None:
        yield Lack("KServe's settings (ConfigMap inferenceservice-config in the namespace kserve)", INSTALL["KServe"])
    tag = cluster.version_of("kserve-controller").removeprefix("v")
    numbers = tuple(int(part) for part in tag.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < KSERVE_RELEASE:
        yield Lack(f"KServe 0.21 or newer: this is {tag}", INSTALL["KServe"])


def _models(documents: Sequence[Document], cluster: Observations) -> Lacks:
    """KServe's switches for models in OCI images, by any of which it takes them, and for models on the nodes' disks."""
    switches = [cluster.kserve_setting("storageInitializer", name) for name in OCI_SWITCHES]
    if any(address.startswith("oci") for address in _addresses(documents)) and cluster.kserve and not any(switches):
        yield Lack(
            "KServe takes no models from OCI images",
            f'set "{OCI_SWITCHES[0]}": true at storageInitializer in {SETTINGS}',
        )
    caches = any(one["kind"] == "LocalModelCache" for one in documents)
    if caches and cluster.kserve and not cluster.kserve_setting("localModel", "enabled"):
        yield Lack(
            "KServe's local model cache is switched off",
            f'install its chart kserve-localmodel-resources, and set "enabled": true at localModel in {SETTINGS}',
        )


def _knative(documents: Sequence[Document], cluster: Observations) -> Lacks:
    modes = {at(one, "metadata.annotations", {}).get(MODE) for one in _services(documents)}
    if "Knative" in modes:
        yield from _group("serving.knative.dev", cluster)


def _routes(documents: Sequence[Document], cluster: Observations) -> Lacks:
    """KServe makes routes where its settings say so; services without their Gateway are never Ready."""
    services = _services(documents)
    if not services or cluster.kserve is None:
        return
    if not cluster.kserve_setting("ingress", "enableGatewayApi"):
        if any(at(one, "spec.canary") for one in services):
            yield Lack("KServe's Gateway API routes, which split the traffic", INSTALL["KServe's Gateway API routes"])
        return
    gateway = str(cluster.kserve_setting("ingress", "kserveIngressGateway") or "")
    routed = any(at(one, "metadata.labels", {}).get(VISIBILITY) != "cluster-local" for one in services)
    if routed and gateway not in cluster.gateways:
        yield Lack(f"the Gateway {gateway} that KServe's routes belong to", INSTALL["KServe's Gateway API routes"])


def _gateway(documents: Sequence[Document], cluster: Observations) -> Lacks:
    classes = {str(at(one, "spec.gatewayClassName")) for one in documents if one["kind"] == "Gateway"}
    for name in sorted(classes - set(cluster.gateway_classes)):
        yield Lack(f"the GatewayClass {name}, accepted by a controller", INSTALL["GatewayClass"])
    if any(one["kind"] == "Backend" for one in documents) and cluster.backend_api is False:
        yield Lack("Envoy Gateway's Backend API is switched off", INSTALL["Envoy Gateway"])
    if classes and not cluster.access.get("gateway"):
        yield Lack(
            "the NetworkPolicy admits no gateway: no namespace is labelled for it",
            "kubectl label namespace envoy-gateway-system modelport/access=gateway",
        )


def _ingress(documents: Sequence[Document], cluster: Observations) -> Lacks:
    for one in documents:
        if one["kind"] == "Ingress":
            name = at(one, "spec.ingressClassName")
            if name and name not in cluster.ingress_classes:
                yield Lack(f"the IngressClass {name}", "install an Ingress controller, or use the overlay gateway")
            elif not name and not cluster.default_ingress_class:
                yield Lack(
                    "no IngressClass is the default one: Contour takes an Ingress without a class, others do not",
                    "kubectl annotate ingressclass NAME ingressclass.kubernetes.io/is-default-class=true, or install "
                    "an Ingress controller, or use the overlay gateway",
                    required=False,
                )


def _scaling(documents: Sequence[Document], cluster: Observations) -> Lacks:
    scalers = {at(one, "metadata.annotations", {}).get(AUTOSCALER) for one in _services(documents)}
    if "hpa" in scalers and not cluster.metrics:
        yield Lack("the metrics API, which the HPA reads", INSTALL["metrics-server"])
    if "keda" in scalers:
        yield from _group("keda.sh", cluster)
    if "keda" in scalers and "monitoring.coreos.com" not in cluster.groups:
        yield Lack("a Prometheus that KEDA reads", INSTALL["Prometheus operator"], required=False)


def _monitoring(documents: Sequence[Document], cluster: Observations) -> Lacks:
    if any(one["kind"] == "PodMonitor" for one in documents) and not cluster.access.get("monitoring"):
        yield Lack(
            "the NetworkPolicy admits no Prometheus: no namespace is labelled for it",
            "kubectl label namespace monitoring modelport/access=monitoring",
            required=False,
        )


def _storage(documents: Sequence[Document], cluster: Observations) -> Lacks:
    volumes = {at(one, "metadata.name") for one in documents if one["kind"] == "PersistentVolume"}
    provided = {one.name for one in cluster.storage_classes if one.provisioner != NO_PROVISIONER}
    default = any(one.default for one in cluster.storage_classes)
    for one in documents:
        if one["kind"] != "PersistentVolumeClaim" or at(one, "spec.volumeName") in volumes:
            continue
        name = at(one, "spec.storageClassName")
        if (name not in provided) if name else not default:
            yield Lack(
                f"a storage class for the claim {at(one, 'metadata.name')}: {name or 'there is no default one'}",
                "kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true",
            )


def _room(documents: Sequence[Document], cluster: Observations) -> Lacks:
    found = pods(documents)
    cpu = memory = 0.0
    gpus = 0.0
    for pod in found:
        replicas = int(pod.predictor.get("minReplicas", 1) or 1)
        for container in (pod.triton, pod.transformer):
            requests = at(container, "resources.requests", {})
            cpu += replicas * quantity(requests.get("cpu", "0"))
            memory += replicas * quantity(requests.get("memory", "0")) / 2**30
            gpus += replicas * quantity(at(container, "resources.limits", {}).get("nvidia.com/gpu", "0"))
    if cpu > cluster.cpu or memory > cluster.memory_gib:
        yield Lack(
            f"room: the pods request {cpu:g} CPUs and {memory:.0f} GiB, "
            f"the nodes offer {cluster.cpu:g} and {cluster.memory_gib:.0f}",
            "add nodes, lower `resources` in services.yaml, or use the component `small`",
        )
    if gpus > cluster.gpus:
        yield Lack(
            f"{gpus:g} GPUs (nvidia.com/gpu): the nodes offer {cluster.gpus}",
            "add GPU nodes with NVIDIA's device plugin",
        )


def _policy(documents: Sequence[Document], cluster: Observations) -> Lacks:
    if any(one["kind"] == "NetworkPolicy" for one in documents) and cluster.policy_controller is None:
        yield Lack(
            "no known controller enforces NetworkPolicies: pods may be open to all namespaces",
            "use a network plugin that enforces them, such as Calico or Cilium",
            required=False,
        )


def _services(documents: Sequence[Document]) -> list[Document]:
    return [one for one in documents if one["kind"] == "InferenceService"]


def _addresses(documents: Sequence[Document]) -> list[str]:
    return [str(at(one, "spec.predictor.model.storageUri", "")) for one in _services(documents)]


_RULES: Sequence[Callable[[Sequence[Document], Observations], Lacks]] = (
    _kubernetes,
    _custom_resources,
    _kserve,
    _models,
    _knative,
    _routes,
    _gateway,
    _ingress,
    _scaling,
    _monitoring,
    _storage,
    _room,
    _policy,
)
