"""An overlay in a namespace of the test's own: nothing of it can touch what was deployed before."""

from typing import Any

import pytest

from modelport.cluster.relocation import NODE_FOLDER, OWNED, SCALED_REPLICAS, WINDOW, Fit, owner, relocate
from modelport.manifests.findings import at
from modelport.manifests.rendering import dump, overlays, render
from modelport.services import load

SERVICES = tuple(load())


def kinds(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in documents if one["kind"] == kind]


@pytest.mark.parametrize("overlay", overlays())
def test_nothing_names_the_namespace_of_the_overlay(overlay):
    moved = relocate(render(overlay), Fit("test-1"), SERVICES)
    for document in moved:
        inside = at(document, "metadata.namespace") == "test-1"
        assert inside or document["kind"] in ("Namespace", "PersistentVolume"), at(document, "metadata")
        if not inside:
            assert "test-1" in document["metadata"]["name"]
            assert OWNED in document["metadata"]["labels"]
    text = dump(moved)
    assert "namespace: modelport\n" not in text
    assert ".modelport.svc" not in text
    for namespace in kinds(moved, "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"


def test_an_overlay_of_ones_own_leaves_its_namespace_too():
    """As `modelport init-cluster --namespace vision` writes it: the test must not touch what is deployed there."""
    documents = [
        {"kind": "Namespace", "metadata": {"name": "vision"}},
        {
            "kind": "Backend",
            "metadata": {"name": "cars", "namespace": "vision"},
            "spec": "cars-pods.vision.svc.cluster",
        },
    ]
    namespace, backend = relocate(documents, Fit("test-1"), SERVICES)
    assert namespace["metadata"]["name"] == backend["metadata"]["namespace"] == "test-1"
    assert backend["spec"] == "cars-pods.test-1.svc.cluster"


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("detector", "detector"),
        ("detector-http", "detector"),
        ("modelport-detector", "detector"),
        ("classifier-light-http", "classifier"),
        ("modelport", None),
        ("modelport-models", None),
        ("detectors", None),
    ],
)
def test_whose_a_document_is(name, service):
    assert owner(name, SERVICES) == service


def test_other_services_are_left_out():
    moved = relocate(render("fallback"), Fit("test-1", services=("classifier",)), SERVICES)
    names = {at(one, "metadata.name") for one in kinds(moved, "InferenceService")}
    assert names == {"classifier", "classifier-light"}
    assert len(kinds(moved, "HTTPRoute")) == 1


def test_knative_scales_within_the_tests_replicas_and_time():
    (service,) = kinds(relocate(render("knative"), Fit("test-1", services=("digits",)), SERVICES), "InferenceService")
    predictor = service["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == SCALED_REPLICAS
    assert service["metadata"]["annotations"][WINDOW] == "20s"


def test_every_container_requests_what_a_small_cluster_has():
    for service in kinds(relocate(render("standard-hpa"), Fit("test-1", cpu="50m"), SERVICES), "InferenceService"):
        predictor = service["spec"]["predictor"]
        assert at(predictor, "model.resources.requests.cpu") == "50m"
        assert at(predictor, "containers.0.resources.requests.cpu") == "50m"
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 3)
    (job,) = kinds(relocate(render("batch"), Fit("test-1", cpu="50m"), SERVICES), "Job")
    assert at(job, "spec.template.spec.containers.0.resources.requests.cpu") == "50m"


def test_node_ports_that_are_taken_are_chosen_by_the_cluster():
    moved = relocate(render("local"), Fit("test-1", taken_ports={30081}), SERVICES)
    ports = {at(one, "metadata.name"): at(one, "spec.ports.0") for one in kinds(moved, "Service")}
    assert "nodePort" not in ports["detector-http"]
    assert ports["digits-http"]["nodePort"] == 30084


def test_volumes_are_the_tests_own():
    moved = relocate(render("local"), Fit("test-1"), SERVICES)
    (volume,), (claim,) = kinds(moved, "PersistentVolume"), kinds(moved, "PersistentVolumeClaim")
    assert volume["metadata"]["name"] == claim["spec"]["volumeName"] == "modelport-models-test-1"
    assert volume["spec"]["hostPath"] == {"path": f"{NODE_FOLDER}/modelport-models-test-1", "type": "DirectoryOrCreate"}


def test_a_claim_that_no_class_provides_gets_a_folder_of_the_node():
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "modelport-models", "namespace": "modelport"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
        }
    ]
    claim, volume = relocate(documents, Fit("test-1", node_folder="/models"), SERVICES)
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["hostPath"]["path"] == "/models/modelport-models-test-1"
    assert volume["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert relocate(documents, Fit("test-1"), SERVICES)[0]["spec"] == documents[0]["spec"]


def test_tokens_and_credentials_are_the_tests_own():
    fit = Fit("test-1", key_set="http://keys.test-1-caller.svc.cluster.local:8080/jwks.json", store_secret="store")  # noqa: S106 (a name)
    (policy,) = kinds(relocate(render("cors-jwt"), fit, SERVICES), "SecurityPolicy")
    assert at(policy, "spec.jwt.providers.0.remoteJWKS.uri") == fit.key_set
    (policy,) = kinds(relocate(render("cors-jwt"), Fit("test-1"), SERVICES), "SecurityPolicy")
    assert at(policy, "spec.jwt.providers.0.remoteJWKS.uri")  # --admit serves no keys
    (account,) = kinds(relocate(render("storage-s3"), fit, SERVICES), "ServiceAccount")
    assert account["secrets"] == [{"name": "store"}]
