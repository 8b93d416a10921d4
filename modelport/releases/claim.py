"""Copies a release into the volume of an overlay's PersistentVolumeClaim, through a Job whose pod mounts it.

The pod has the overlay's transformer image, so that the cluster needs no other. kubectl carries the files to it.
"""

import json
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporters.files import sha256
from modelport.manifests.cluster import ClusterError, kubectl_json, kubectl_text, require_cluster
from modelport.manifests.findings import Document, at, of
from modelport.manifests.pods import pods
from modelport.manifests.rendering import RenderError, dump, kubectl, render
from modelport.releases import claim_receiver
from modelport.releases.archive import tar_chunks
from modelport.releases.errors import StoreError
from modelport.releases.publishing import Progress, Published, counted
from modelport.releases.sources import Folder

MOUNT = "/models"
START_TIMEOUT = "10m"  # the pod may have to wait for a node, a volume and its image
LIFETIME_S = 3600


def publish_to_claim(
    folder: Path, service: str, name: str, overlay: str, replace: bool = False, progress: Progress = lambda size: None
) -> Published:
    """Copy the files of a folder to SERVICE/NAME of the volume; they are verified there.

    Args:
        folder: of models, as a release or model_repository has them.
        service: first part of the path.
        name: second part: of the release.
        overlay: whose claim, namespace and image are used; namespace and claim are created where they are missing.
        replace: whether other files of this name may be replaced.
        progress: called with numbers of bytes, as they are sent.

    Raises:
        StoreError: there is no cluster or no claim, no pod could mount it, or it has other files of this name.
    """
    try:
        documents = render(overlay)
        claim = next(of(documents, "PersistentVolumeClaim"), None)
        if claim is None:
            raise StoreError(f"overlay {overlay!r} has no PersistentVolumeClaim: name one with storage-pvc")
        require_cluster()
        base = list(of(documents, "Namespace", "PersistentVolume", "PersistentVolumeClaim"))
        kubectl_text("apply", "--server-side", "-f", "-", stdin=dump(map(dict, base)))
        with _pod(job(documents, claim, service)) as (namespace, pod):
            new = _send(namespace, pod, folder, (service, name), replace, progress)
    except (RenderError, ClusterError) as error:
        raise StoreError(str(error)) from error
    count = len(Folder(folder).sizes())
    address = f"pvc://{at(claim, 'metadata.name')}/{service}/{name}"
    return Published(address, count if new else 0, 0 if new else count, new)


def job(documents: Sequence[Document], claim: Document, service: str) -> dict[str, Any]:
    """A Job whose pod mounts a claim and waits."""
    pod = pods(documents)[0]
    shared = {key: pod.predictor[key] for key in ("nodeSelector", "imagePullSecrets") if key in pod.predictor}
    near = {"labelSelector": {"matchLabels": {"app.kubernetes.io/part-of": "modelport"}}}
    waits = f"import signal, sys; signal.signal(15, lambda *_: sys.exit()); signal.alarm({LIFETIME_S}); signal.pause()"
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "volume",
        "image": pod.transformer["image"],
        "command": ["python3", "-c", waits],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": context,
        "volumeMounts": [{"name": "models", "mountPath": MOUNT}],
    }
    template = {
        **shared,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # a volume that is mounted on one node can be mounted there alone
        "affinity": {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "podAffinityTerm": {**near, "topologyKey": "kubernetes.io/hostname"}}
                ]
            }
        },
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": at(claim, "metadata.name")}}],
    }
    labels = {"app.kubernetes.io/name": "modelport-publish"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"publish-{service}-{secrets.token_hex(3)}",
            "namespace": at(claim, "metadata.namespace"),
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": LIFETIME_S,
            "ttlSecondsAfterFinished": 60,
            "template": {"metadata": {"labels": labels}, "spec": template},
        },
    }


@contextmanager
def _pod(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Namespace and name of a Job's pod while it runs; the Job is deleted at the end."""
    namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
    selector = ("-n", namespace, "-l", f"batch.kubernetes.io/job-name={name}")
    kubectl_text("create", "-f", "-", stdin=json.dumps(document))
    try:
        try:
            ready = ("wait", "-n", namespace, f"job/{name}", "--for=jsonpath={.status.ready}=1")
            kubectl_text(*ready, f"--timeout={START_TIMEOUT}")
        except ClusterError as error:
            reasons = [reason for pod in kubectl_json("get", "pods", *selector)["items"] for reason in _reasons(pod)]
            raise ClusterError(
                f"the pod that mounts the volume does not start: {'; '.join(reasons) or error}"
            ) from error
        yield namespace, kubectl_text("get", "pods", *selector, "-o", "jsonpath={.items[0].metadata.name}")
    finally:
        kubectl_text("delete", "job", name, "-n", namespace, "--ignore-not-found", "--wait=false")


def _reasons(pod: Document) -> Iterator[str]:
    for condition in at(pod, "status.conditions", []):
        if condition.get("status") == "False" and condition.get("message"):
            yield condition["message"]
    for status in at(pod, "status.containerStatuses", []):
        waiting = at(status, "state.waiting", {})
        if waiting:
            yield f"{waiting.get('reason')}: {waiting.get('message', '')}".rstrip(": ")


def _send(namespace: str, pod: str, folder: Path, path: tuple[str, str], replace: bool, progress: Progress) -> bool:
    """Whether the files were not there before."""
    source = Folder(folder)
    sums = json.dumps({file: sha256(source.chunks(file)) for file in source.sizes()})
    text = Path(claim_receiver.__file__).read_text()
    command = ["python3", "-c", text, MOUNT, *path, sums, "replace" if replace else "new"]
    with subprocess.Popen(
        [kubectl(), "exec", "-i", "-n", namespace, pod, "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None  # noqa: S101 (for the type checker)
        try:
            for chunk in counted(tar_chunks(source), progress):
                process.stdin.write(chunk)
        except BrokenPipeError:
            pass  # it ended early: the files are there, or it says why
        output, errors = process.communicate()
    if process.returncode:
        lines = [line for line in errors.decode().splitlines() if not line.startswith("command terminated")]
        raise StoreError(lines[-1] if lines else f"kubectl exec ended with {process.returncode}")
    return output.decode().strip() == "new"
