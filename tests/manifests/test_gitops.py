"""The examples of Argo CD and Flux: what they name exists, and their patches do what they say."""

import shutil
import subprocess
from typing import Any

import yaml

from modelport.manifests import init_cluster
from modelport.manifests.rendering import MANIFESTS, documents, kubectl

PATH = "manifests/overlays/mine"  # as `modelport init-cluster` calls it


def annotations(tmp_path, patches) -> dict[str, dict[str, str]]:
    """Those of a user's overlay by kind, with the patches that a tool adds to the overlay's own file."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    wanted, name = init_cluster.parse(["--registry=ghcr.io/me", "--with=gateway"])
    init_cluster.write(wanted, name, "modelport init-cluster", tmp_path / "manifests")
    file = tmp_path / PATH / "kustomization.yaml"
    kustomization: dict[str, Any] = yaml.safe_load(file.read_text())
    kustomization.setdefault("patches", []).extend(patches)
    file.write_text(yaml.safe_dump(kustomization))
    ran = subprocess.run([kubectl(), "kustomize", str(file.parent)], capture_output=True, text=True, check=True)
    return {d["kind"]: d["metadata"].get("annotations", {}) for d in documents(ran.stdout)}


def test_argo_cd_applies_the_users_overlay_in_order(tmp_path):
    application = yaml.safe_load((MANIFESTS / "gitops" / "argo-cd.yaml").read_text())
    source = application["spec"]["source"]
    assert source["path"] == PATH
    found = annotations(tmp_path, source["kustomize"]["patches"])
    first = {kind for kind, values in found.items() if values.get("argocd.argoproj.io/sync-wave") == "-1"}
    assert first == {"ServingRuntime", "Gateway", "EnvoyProxy", "PersistentVolumeClaim"}
    assert found["ServingRuntime"]["serving.kserve.io/server-type"] == "tritonserver"
    assert found["PersistentVolumeClaim"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


def test_flux_waits_for_the_services_and_leaves_their_models(tmp_path):
    repository, kustomization = yaml.safe_load_all((MANIFESTS / "gitops" / "flux.yaml").read_text())
    spec = kustomization["spec"]
    assert spec["path"] == f"./{PATH}"
    assert spec["sourceRef"]["name"] == repository["metadata"]["name"]
    assert spec["wait"]
    (check,) = spec["healthCheckExprs"]
    assert check["kind"] == "InferenceService"
    assert "Stopped" in check["current"]
    # Flux evaluates these first: a stopped service is not Ready, and would be unhealthy for ever
    assert not check.keys() & {"inProgress", "failed"}
    found = annotations(tmp_path, spec["patches"])
    assert {kind for kind, values in found.items() if "kustomize.toolkit.fluxcd.io/prune" in values} == {
        "PersistentVolumeClaim"
    }
    assert found["PersistentVolumeClaim"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
