"""What a cluster lacks for the project's own overlays."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from modelport.cluster.observation import Observations, StorageClass, image_of
from modelport.cluster.requirements import INSTALL, lacks
from modelport.environment import ROOT
from modelport.manifests.findings import quantity
from modelport.manifests.rendering import render

CRDS = (
    "inferenceservices.serving.kserve.io",
    "gateways.gateway.networking.k8s.io",
    "backends.gateway.envoyproxy.io",
    "scaledobjects.keda.sh",
    "podmonitors.monitoring.coreos.com",
    "verticalpodautoscalers.autoscaling.k8s.io",
    "services.serving.knative.dev",
    "certificates.cert-manager.io",
)
INGRESS = {"enableGatewayApi": True, "kserveIngressGateway": "kserve/kserve-ingress-gateway"}
SETTINGS = {
    "ingress": INGRESS,
    "deploy": {"defaultDeploymentMode": "Standard"},
    "storageInitializer": {"enableOciModelSupport": True},
    "localModel": {"enabled": True},
}
FULL = Observations(
    "v1.35.4",
    nodes=20,
    cpu=200,
    memory_gib=400,
    gpus=8,
    crds=frozenset(CRDS),
    images={
        "kserve-controller-manager": "kserve/controller:v0.21.0",
        "envoy-gateway": "envoyproxy/gateway:v1.8.2",
        "controller": "gcr.io/knative-releases/knative.dev/serving/cmd/controller@sha256:0f",
        "keda-operator": "ghcr.io/kedacore/keda:2.21.0",
        "kube-prometheus-stack-operator": "quay.io/prometheus-operator/prometheus-operator:v0.85.0",
        "vertical-pod-autoscaler-recommender": "localhost:5000/autoscaling/vpa-recommender:1.5.1",
        "cert-manager": "quay.io/jetstack/cert-manager-controller:v1.19.2@sha256:0f",
    },
    kserve={key: json.dumps(value) for key, value in SETTINGS.items()},
    envoy_gateway="extensionApis:\n  enableBackend: true\n",
    gateway_classes={"envoy": "gateway.envoyproxy.io/gatewayclass-controller"},
    gateways=("kserve/kserve-ingress-gateway",),
    ingress_classes=("traefik",),
    default_ingress_class="traefik",
    storage_classes=(StorageClass("fast", "disk.example.com", default=True),),
    metrics=True,
    policy_controller="cilium",
    access={"gateway": ["envoy-gateway-system"], "monitoring": ["monitoring"]},
)


def settings(key: str, **values: Any) -> dict[str, Any]:
    return {"kserve": {name: json.dumps(value) for name, value in {**SETTINGS, key: values}.items()}}


def without(group: str) -> dict[str, Any]:
    return {"crds": frozenset(name for name in CRDS if not name.endswith(f".{group}"))}


@pytest.fixture(scope="module")
def rendered():
    known: dict[str, list[dict[str, Any]]] = {}
    return lambda name: known.setdefault(name, render(name))


@pytest.mark.parametrize(
    "overlay",
    [
        "local",
        "gateway",
        "fallback",
        "cors-jwt",
        "keda",
        "knative",
        "gpu",
        "vpa",
        "gke",
        "storage-oci",
        "model-cache",
        "ingress",
        "production",
    ],
)
def test_a_full_cluster_lacks_nothing(overlay, rendered):
    assert lacks(rendered(overlay), FULL) == []


@pytest.mark.parametrize(
    ("overlay", "change", "what", "fix"),
    [
        ("local", without("serving.kserve.io"), "KServe (the API group", "kserve-crd"),
        ("local", {"kserve": None}, "KServe's settings", "kserve-resources"),
        ("local", {"images": {"kserve-controller-manager": "kserve/controller:v0.20.1"}}, "KServe 0.21 or", "v0.21.0"),
        ("local", {"gateways": ()}, "the Gateway kserve/kserve-ingress-gateway", "createGateway=true"),
        ("local", {"kubernetes": "v1.31.9"}, "Kubernetes 1.32", "upgrade"),
        ("local", {"kubernetes": "v1.31.9-gke.1200"}, "Kubernetes 1.32", "upgrade"),
        ("storage-oci", {"kubernetes": "v1.34.0"}, "Kubernetes 1.35 or newer (image volumes)", "upgrade"),
        ("storage-oci", settings("storageInitializer"), "KServe takes no models from OCI", "enableOciModelSupport"),
        (
            "storage-oci-fetch",
            settings("storageInitializer", ociModelMode=""),
            "KServe takes no models from OCI",
            "true",
        ),
        ("model-cache", settings("localModel", enabled=False), "local model cache is switched off", "localmodel-res"),
        ("local", {"architectures": ("arm64",)}, "amd64", "x86-64"),
        ("local", {"cpu": 0.1}, "room: the pods request 0.75 CPUs", "`small`"),
        ("gateway", without("gateway.networking.k8s.io"), "Gateway API", "gateway-helm"),
        ("gateway", without("gateway.envoyproxy.io"), "Envoy Gateway", "gateway-helm"),
        ("gateway", {"gateway_classes": {}}, "the GatewayClass envoy", "gateway-class.yaml"),
        ("gateway", {"access": {"gateway": [], "monitoring": []}}, "admits no gateway", "modelport/access=gateway"),
        ("fallback", {"envoy_gateway": "provider: {}"}, "Backend API is switched off", "enableBackend=true"),
        ("standard-hpa", {"metrics": False}, "the metrics API", "metrics-server"),
        ("keda", without("keda.sh"), "KEDA", "kedacore"),
        ("keda", without("monitoring.coreos.com"), "Prometheus operator", "kube-prometheus-stack"),
        ("vpa", without("autoscaling.k8s.io"), "Vertical Pod Autoscaler", "vertical-pod-autoscaler"),
        ("knative", without("serving.knative.dev"), "Knative", "knative"),
        ("gpu", {"gpus": 0}, "GPUs (nvidia.com/gpu)", "device plugin"),
    ],
)
def test_what_is_missing_is_named_with_what_installs_it(overlay, change, what, fix, rendered):
    found = lacks(rendered(overlay), replace(FULL, **change))
    (lack,) = [one for one in found if what in one.what]
    assert lack.required
    assert fix in lack.fix


@pytest.mark.parametrize(
    ("name", "default", "required"),
    [
        pytest.param(None, "traefik", None, id="the default class"),
        pytest.param(None, "", False, id="no default: Contour needs none"),
        pytest.param("traefik", "", None, id="a class that there is"),
        pytest.param("nginx", "traefik", True, id="a class that there is not"),
    ],
)
def test_an_ingress_needs_its_class_or_a_default_one(name, default, required):
    spec = {"ingressClassName": name} if name else {}
    document = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": spec}
    found = [
        one for one in lacks([document], replace(FULL, default_ingress_class=default)) if "IngressClass" in one.what
    ]
    assert [one.required for one in found] == ([] if required is None else [required])


@pytest.mark.parametrize(
    ("claim", "classes", "missing"),
    [
        ({}, (), True),
        ({}, (StorageClass("a", "disk.example.com", default=False),), True),
        ({}, (StorageClass("a", "disk.example.com", default=True),), False),
        ({"storageClassName": "a"}, (StorageClass("a", "disk.example.com", default=False),), False),
        ({"storageClassName": "b"}, (StorageClass("a", "disk.example.com", default=True),), True),
        ({"storageClassName": "a"}, (StorageClass("a", "kubernetes.io/no-provisioner", default=False),), True),
        ({"volumeName": "mine", "storageClassName": "none"}, (), False),
    ],
)
def test_a_claim_needs_a_class_that_provides_it_or_a_declared_volume(claim, classes, missing):
    documents = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim},
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "mine"}, "spec": {}},
    ]
    found = lacks(documents, replace(FULL, storage_classes=classes))
    assert bool([one for one in found if "storage class" in one.what]) == missing


@pytest.mark.parametrize(
    ("settings", "gateways", "what"),
    [
        ({"enableGatewayApi": False}, (), "KServe's Gateway API routes"),
        (INGRESS, (), "the Gateway kserve/kserve-ingress-gateway"),
        (INGRESS, ("kserve/kserve-ingress-gateway",), None),
    ],
)
def test_a_canary_needs_kserves_routes_and_their_gateway(settings, gateways, what):
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "digits"},
        "spec": {"predictor": {"model": {}}, "canary": [{"trafficPercent": 10, "predictor": {"name": "canary"}}]},
    }
    cluster = replace(FULL, kserve={"ingress": json.dumps(settings)}, gateways=gateways)
    found = [one.what for one in lacks([service], cluster)]
    assert [one for one in found if "Gateway" in one] == [one for one in found if what and one.startswith(what)]
    assert bool(found) == bool(what)


def test_services_that_kserve_makes_no_routes_for_need_no_gateway_of_its(rendered):
    assert lacks(rendered("gateway"), replace(FULL, gateways=())) == []
    off = {"ingress": json.dumps({"enableGatewayApi": False})}
    assert lacks(rendered("local"), replace(FULL, gateways=(), kserve=off)) == []


@pytest.mark.parametrize("switch", [{"enableModelcar": True}, {"ociModelMode": "modelcar"}])
def test_any_of_kserves_switches_admits_oci_images(switch, rendered):
    assert lacks(rendered("storage-oci"), replace(FULL, **settings("storageInitializer", **switch))) == []


@pytest.mark.parametrize(
    ("overlay", "controller", "name"),
    [
        ("local", "kserve-controller-manager", "KServe"),
        ("knative", "controller", "Knative"),
        ("keda", "keda-operator", "KEDA"),
        ("monitoring", "kube-prometheus-stack-operator", "Prometheus operator"),
        ("vpa", "vertical-pod-autoscaler-recommender", "Vertical Pod Autoscaler"),
        ("cors-jwt", "cert-manager", "cert-manager"),
    ],
)
def test_custom_resources_without_their_controller_are_a_warning(overlay, controller, name, rendered):
    images = {key: image for key, image in FULL.images.items() if key != controller}
    (lack,) = lacks(rendered(overlay), replace(FULL, images=images))
    assert not lack.required
    assert lack.what.startswith(f"no pod runs the controller of {name}:")


@pytest.mark.parametrize(
    ("part", "version"),
    [
        ("vpa-recommender", "1.5.1"),
        ("cert-manager", "v1.19.2"),
        ("cmd/controller", "of an unknown version"),
        ("prometheus-operator", "v0.85.0"),
        ("istiod", "not in a pod"),
    ],
)
def test_the_version_of_a_controller_is_its_images_tag(part, version):
    assert FULL.version_of(part) == version


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("gcr.io:443/controller@sha256:0f", "gcr.io:443/controller:1.21.1@sha256:0f"),
        ("gcr.io/controller:v1.21@sha256:0f", "gcr.io/controller:v1.21@sha256:0f"),
    ],
)
def test_a_controller_named_by_digest_has_the_version_of_its_label(image, found):
    workload = {"metadata": {}, "spec": {"template": {"spec": {"containers": [{"image": image}]}}}}
    assert image_of(workload) == image
    assert image_of({**workload, "metadata": {"labels": {"app.kubernetes.io/version": "1.21.1"}}}) == found


def test_what_does_not_hold_without_a_controller_is_a_warning(rendered):
    (lack,) = lacks(rendered("local"), replace(FULL, policy_controller=None))
    assert not lack.required
    assert "NetworkPolicies" in lack.what


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1Gi", 2**30), ("64Ki", 65536), ("1k", 1000), ("1e3", 1000), ("", 0)],
)
def test_quantities(text, number):
    assert quantity(text) == number


def test_the_lines_say_what_is_there_and_what_is_not():
    bare = dict(line.split(maxsplit=1) for line in Observations("v1.35.4").lines())
    assert bare["KServe"] == "not installed"
    assert bare["KEDA"] == "not installed"
    full = "\n".join(FULL.lines())
    assert "v0.21.0, mode Standard, Gateway API on" in full
    assert "v1.8.2, Backend API on" in full
    assert "fast (default)" in full


@pytest.mark.parametrize("name", INSTALL)
def test_install_lines_name_the_versions_and_values_of_the_documentation(name):
    told = (ROOT / "docs" / "deploy.md").read_text()
    parts = re.findall(r"(?:--version|--repo|--set|-f) [^ ;]+|[a-z]+://[^ ;]+", INSTALL[name])
    assert parts or name == "GatewayClass"
    assert [one for one in parts if one.removeprefix("-f ") not in told] == []
