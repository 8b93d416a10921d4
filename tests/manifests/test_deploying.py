"""What `make deploy` refuses, and what it does with what is in the cluster already."""

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from modelport.environment import ROOT
from modelport.manifests import canary_start, deploying, stopping
from modelport.manifests.canary_start import stable_first, with_stable
from modelport.manifests.cluster import ClusterError
from modelport.manifests.deploying import former_autoscalers, left_over, mode_changes
from modelport.manifests.findings import of
from modelport.manifests.release_file import Choice
from modelport.manifests.rendering import overlays
from modelport.services import load

Documents = list[dict[str, Any]]
Rendered = Callable[[str], Documents]


@pytest.mark.parametrize("target", ["serve", "lint-manifests", "render", "deploy", "undeploy"])
def test_an_unknown_overlay_is_refused_before_anything_is_installed(target, tmp_path):
    command = ["make", target, "OVERLAY=nonsense", "PYTHON=/no/python"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    first, *_ = ran.stderr.splitlines()
    assert first.startswith(
        'error: there is no overlay "nonsense": write OVERLAY=name with one of: batch canary-judge canary-knative '
    )
    assert ran.stdout == ""


@pytest.mark.parametrize("arguments", [("deploy", "local"), ("undeploy", "local"), ("stop", "cars")])
def test_no_cluster_is_guessed(arguments, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    ran = subprocess.run(
        [f"{ROOT}/.venv/bin/modelport", *arguments],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.splitlines() == [
        "error: no cluster is chosen: set KUBECONFIG to a kubeconfig file, or run `kubectl config use-context NAME`"
    ]


def test_placeholders_are_not_deployed(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["modelport", "deploy", "cors-jwt"])
    assert deploying.main() == 1
    assert "'issuer.example.com' is a name that is reserved for examples" in capsys.readouterr().err


def present(documents: Documents, mode: str) -> dict[str, dict[str, Any]]:
    """The services of documents as a cluster has them in a mode."""
    services = [d for d in documents if d["kind"] == "InferenceService"]
    return {d["metadata"]["name"]: {**d, "status": {"deploymentMode": mode}} for d in services}


def test_a_mode_is_not_changed_in_place(rendered):
    knative = rendered("knative")
    assert list(mode_changes(knative, {})) == []
    assert list(mode_changes(knative, present(knative, "Knative"))) == []
    problems = list(mode_changes(knative, present(knative, "Standard")))
    assert len(problems) == 5
    assert "detector runs in Standard mode" in " ".join(problems)


def test_what_the_former_overlay_declared_is_found(rendered):
    owned = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "detector-predictor", "ownerReferences": [{"kind": "InferenceService"}]},
    }
    found = left_over(rendered("storage-pvc"), [owned, *rendered("ingress")])
    assert sorted(found) == ["ingress/modelport", *(f"service/{name}-http" for name in sorted(load()))]
    assert left_over(rendered("ingress"), rendered("storage-pvc")) == []


# Kinds that a deploy leaves: volumes, what stands beside a service, and what is not in a namespace.
LEFT = {
    *("/Namespace", "/PersistentVolume", "/PersistentVolumeClaim", "batch/Job"),
    *("rbac.authorization.k8s.io/Role", "rbac.authorization.k8s.io/RoleBinding"),
    *(f"serving.kserve.io/LocalModel{kind}" for kind in ("Cache", "NodeGroup")),
    "policy.sigstore.dev/ClusterImagePolicy",
}


def test_no_kind_of_an_overlay_is_left_by_mistake(rendered):
    declared = {deploying._kind(document) for overlay in overlays() for document in rendered(overlay)}
    assert declared - set(deploying.PRUNED) == LEFT


def autoscaler(kind: str, owner_kind: str, owner: str) -> dict[str, Any]:
    """An autoscaler that something made."""
    version = "keda.sh/v1alpha1" if kind == "ScaledObject" else "autoscaling/v2"
    owners = [{"kind": owner_kind, "name": owner}]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": f"{owner}-predictor", "ownerReferences": owners}}


@pytest.mark.parametrize(
    ("overlay", "found"),
    [
        pytest.param("keda", ["horizontalpodautoscaler/cars-predictor"], id="hpa to keda"),
        pytest.param("standard-hpa", ["scaledobject/cars-predictor"], id="keda to hpa"),
        pytest.param(
            "storage-pvc", ["horizontalpodautoscaler/cars-predictor", "scaledobject/cars-predictor"], id="to none"
        ),
    ],
)
def test_the_autoscaler_of_the_former_class_goes(overlay, found, rendered):
    there = [
        autoscaler("HorizontalPodAutoscaler", "InferenceService", "cars"),
        autoscaler("ScaledObject", "InferenceService", "cars"),
        autoscaler("HorizontalPodAutoscaler", "ScaledObject", "cars-predictor"),  # KEDA's own
        autoscaler("HorizontalPodAutoscaler", "InferenceService", "another"),
    ]
    assert former_autoscalers(rendered(overlay), there) == found


def test_a_knative_canary_does_not_come_first(rendered, monkeypatch):
    documents = rendered("canary-knative")
    monkeypatch.setattr(canary_start, "read", lambda: {"detector": Choice("r1", "r2", 10)})
    (first,) = stable_first(documents, {})
    assert first["metadata"]["name"] == "detector"
    assert first["spec"]["predictor"]["model"]["storageUri"] == "s3://modelport-models/detector/r1"
    assert "canaryTrafficPercent" not in first["spec"]["predictor"]
    applied = with_stable(documents, [first])
    assert [one for one in applied if one not in documents] == [first]
    assert len(applied) == len(documents)
    assert not any("canaryTrafficPercent" in one["spec"]["predictor"] for one in of(applied, "InferenceService"))

    rolled_out = {"status": {"components": {"predictor": {"latestRolledoutRevision": "detector-1"}}}}
    assert stable_first(documents, {"detector": rolled_out}) == []
    assert stable_first(rendered("knative"), {}) == []


def test_all_of_an_overlay_is_applied_by_the_server(rendered, monkeypatch):
    """A namespace that was applied by the client makes the server warn at each later deploy."""
    calls: list[tuple[str, ...]] = []

    def kubectl(*arguments: str, stdin: str | None = None) -> str:
        calls.append(arguments)
        return ""

    told = {"checked": rendered("local"), "require_cluster": "server", "served_kinds": {deploying.KSERVE}}
    told |= {"_services": {}, "_jobs": [], "_declared_before": [], "_autoscalers": []}
    for name, value in told.items():
        monkeypatch.setattr(deploying, name, lambda *_, value=value: value)
    monkeypatch.setattr(deploying, "kubectl_text", kubectl)
    deploying.deploy("local", prune=False)
    assert len(calls) == 3  # the namespace, a dry run, everything
    assert all(call[:2] == ("apply", "--server-side") for call in calls)


def test_stop_takes_the_lighter_pods_too(monkeypatch):
    calls: list[tuple[str, ...]] = []

    def kubectl(*arguments: str) -> str:
        calls.append(arguments)
        return "cars classifier classifier-light" if arguments[0] == "get" else ""

    monkeypatch.setattr(stopping, "kubectl_text", kubectl)
    annotation = "serving.kserve.io/stop=true"
    assert stopping.annotate("classifier", "modelport", annotation) == ["classifier", "classifier-light"]
    assert calls[-1][1:] == (
        stopping.KIND,
        "classifier",
        "classifier-light",
        "-n",
        "modelport",
        annotation,
        "--overwrite",
        "--field-manager=modelport",  # Flux undoes what kubectl's own managers have set
    )
    with pytest.raises(ClusterError, match="has no service 'dogs': there are cars, classifier, classifier-light"):
        stopping.annotate("dogs", "modelport", annotation)
