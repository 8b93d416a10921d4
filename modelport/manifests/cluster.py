"""kubectl on the cluster of the current context, which is never guessed."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelport.environment import CommandError
from modelport.manifests.rendering import kubectl

TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class ClusterError(CommandError):
    """The cluster refused, or there is none; the message says what to do."""


def require_cluster() -> str:
    """The address of the API server that kubectl would ask.

    Raises:
        ClusterError: no context is chosen (kubectl would ask localhost:8080), or the server does not answer.
    """
    server = ""
    with contextlib.suppress(ClusterError):  # no context
        server = kubectl_text("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}").strip()
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


def kubectl_text(*arguments: str, stdin: str | bytes = b"", timeout_s: float | None = None) -> str:
    """What kubectl prints.

    Raises:
        ClusterError: it failed, and the message is its own; or it did not end in time.
    """
    given = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run([kubectl(), *arguments], input=given, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"kubectl {' '.join(arguments[:3])} did not end within {timeout_s:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ClusterError(said or f"kubectl {arguments[0]} ended with {done.returncode}")
    return done.stdout.decode(errors="replace")


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
