"""kubectl on the cluster of the current context, which is never guessed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelport.manifests.rendering import kubectl

TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class ClusterError(Exception):
    """The cluster refused, or there is none; the message says what to do."""


def require_cluster() -> str:
    """The address of the API server that kubectl would ask.

    Raises:
        ClusterError: no context is chosen (kubectl would ask localhost:8080), or the server does not answer.
    """
    view = _kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    server = view.stdout.strip()
    if not server and TOKEN.exists() and "KUBERNETES_SERVICE_HOST" in os.environ:
        server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}"  # a pod, with its own service account
    if not server:
        raise ClusterError(
            "no cluster is chosen: set KUBECONFIG to a kubeconfig file, or run `kubectl config use-context NAME`"
        )
    try:
        kubectl_text("get", "--raw", "/version", "--request-timeout=10s")
    except ClusterError as error:
        raise ClusterError(f"the cluster at {server} does not answer: {error}") from error
    return server


def kubectl_text(*arguments: str, stdin: str | None = None) -> str:
    """What kubectl prints.

    Raises:
        ClusterError: it failed; the message is its own.
    """
    result = _kubectl(*arguments, stdin=stdin)
    if result.returncode:
        raise ClusterError(result.stderr.strip() or f"kubectl {arguments[0]} ended with {result.returncode}")
    return result.stdout


def kubectl_json(*arguments: str) -> Any:
    """What kubectl prints with `-o json`; an empty list of items where there is nothing."""
    text = kubectl_text(*arguments, "-o", "json")
    return json.loads(text) if text.strip() else {"items": []}


def served_kinds() -> Mapping[str, str]:
    """The kinds that the cluster knows and kubectl can delete: `RESOURCE.GROUP` by `GROUP/KIND`."""
    rows = kubectl_text("api-resources", "--verbs=list,delete", "--no-headers").splitlines()
    found = {}
    for row in rows:
        *_, version, _, kind = row.split()
        resource, group = row.split()[0], version.rpartition("/")[0]
        found[f"{group}/{kind}"] = f"{resource}.{group}" if group else resource
    return found


def _kubectl(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([kubectl(), *arguments], input=stdin, capture_output=True, text=True, check=False)
