"""The examples of Argo CD and Flux: what they name exists, and their patches do what they say."""

import shutil
import subprocess
from typing import Any

import yaml

from modelport.manifests import init_cluster
from modelport.manifests.rendering import MANIFESTS, documents, kubectl

PATH = "manifests/overlays/mine"  # as `modelport init-cluster` calls it


def test_argo_cd_applies_the_users_overlay_in_order(tmp_path):
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    wanted, name = init_cluster.parse(["--registry=ghcr.io/me", "--with=gateway"])
    init_cluster.write(wanted, name, "modelport init-cluster", tmp_path / "manifests")
    application = yaml.safe_load((MANIFESTS / "gitops" / "argo-cd.yaml").read_text())
    source = application["spec"]["source"]
    assert source["path"] == PATH

    folder = tmp_path / "manifests" / "overlays" / "argo"  # Argo CD adds the patches to the overlay's own file
    shutil.copytree(tmp_path / source["path"], folder)
    kustomization: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    kustomization.setdefault("patches", []).extend(source["kustomize"]["patches"])
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    ran = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True)
    annotations = {d["kind"]: d["metadata"].get("annotations", {}) for d in documents(ran.stdout)}
    first = {kind for kind, found in annotations.items() if found.get("argocd.argoproj.io/sync-wave") == "-1"}
    assert first == {"ServingRuntime", "Gateway", "EnvoyProxy", "PersistentVolumeClaim"}
    assert annotations["ServingRuntime"]["serving.kserve.io/server-type"] == "tritonserver"
    assert annotations["PersistentVolumeClaim"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


def test_flux_waits_for_the_services():
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
