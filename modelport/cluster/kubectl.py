"""kubectl on the cluster that KUBECONFIG names, with a timeout, repeated where the API server did not answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from modelport.manifests.cluster import ClusterError, kubectl_text, require_cluster
from modelport.manifests.findings import Document
from modelport.manifests.rendering import dump, kubectl

REQUEST_TIMEOUT_S = 60.0
POLL_S = 2.0
READY_TIMEOUT_S = 600.0  # of pods on a small or busy cluster
ATTEMPTS = 6
_REPEATABLE = ("get", "apply", "patch", "api-resources")
_PASSING = (
    "i/o timeout",
    "Client.Timeout",
    "TLS handshake timeout",
    "connection refused",
    "etcdserver: request timed out",
)

Found = TypeVar("Found")


class Kubectl:
    """Calls kubectl for the current context of KUBECONFIG."""

    def command(self, *arguments: str) -> list[str]:
        """A command line, for processes that keep running."""
        return [kubectl(), *arguments]

    def run(self, *arguments: str, stdin: bytes | str = b"", timeout_s: float = REQUEST_TIMEOUT_S) -> str:
        """Run kubectl to its end; returns what it printed.

        What can be repeated is, where an overloaded API server did not answer.

        Raises:
            ClusterError: it failed, or did not end in time.
        """
        for attempt in range(ATTEMPTS if arguments[0] in _REPEATABLE else 1):
            try:
                return kubectl_text(*arguments, stdin=stdin, timeout_s=timeout_s)
            except ClusterError as error:
                last = ClusterError(_one_line(str(error)))
                if not any(text in str(error) for text in _PASSING):
                    break
            time.sleep(POLL_S * (attempt + 1))
        raise last

    def get(self, kind: str, name: str, namespace: str = "") -> Document | None:
        """An object, or None where it does not exist or its kind is not known to the cluster."""
        try:
            found: Document = json.loads(self.run("get", kind, name, *_in(namespace), "-o", "json"))
        except ClusterError as error:
            if _is_absent(error):
                return None
            raise
        return found

    def items(self, kind: str, namespace: str = "", selector: str = "") -> list[Document]:
        """The objects of a kind in a namespace, or in all; none where the cluster does not know the kind."""
        where = _in(namespace) or ["--all-namespaces"]
        chosen = [f"--selector={selector}"] if selector else []
        try:
            return list(json.loads(self.run("get", kind, *where, *chosen, "-o", "json"))["items"])
        except ClusterError as error:
            if _is_absent(error):
                return []
            raise

    def apply(self, documents: Iterable[Document], dry_run: bool = False) -> None:
        """Apply on the server, as `make deploy` does."""
        options = ["--dry-run=server"] if dry_run else []
        text = dump([dict(document) for document in documents])
        self.run("apply", "--server-side", "--force-conflicts", *options, "-f", "-", stdin=text, timeout_s=120)

    def patch(self, kind: str, name: str, namespace: str, patch: Mapping[str, Any], subresource: str = "") -> None:
        """Merge a patch into an object, or into a subresource of it."""
        part = [f"--subresource={subresource}"] if subresource else []
        self.run("patch", kind, name, *_in(namespace), *part, "--type=merge", "-p", json.dumps(patch))

    def delete(self, kind: str, name: str, namespace: str = "", timeout_s: float = 180.0) -> None:
        """Delete an object and wait until it is gone; it may be gone already."""
        options = ["--ignore-not-found", f"--timeout={timeout_s:g}s"]
        self.run("delete", kind, name, *_in(namespace), *options, timeout_s=timeout_s + 10)


def connect() -> Kubectl:
    """A client of the cluster that the current context names.

    Raises:
        ClusterError: no cluster is named, or it does not answer.
    """
    require_cluster()
    return Kubectl()


def wait_until(
    condition: Callable[[], Found], what: str, timeout_s: float, explain: Callable[[], str] | None = None
) -> Found:
    """Wait until a condition is true; returns its value.

    Args:
        condition: called every two seconds.
        what: is waited for, for the message.
        timeout_s: for how long.
        explain: says why it may not have become true.

    Raises:
        ClusterError: it did not become true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() >= deadline:
            why = explain() if explain else ""
            raise ClusterError(f"{what}: not within {timeout_s:g} s{': ' + why if why else ''}")
        time.sleep(POLL_S)
    return found


def _in(namespace: str) -> list[str]:
    return [f"--namespace={namespace}"] if namespace else []


def _is_absent(error: ClusterError) -> bool:
    return any(text in str(error) for text in ("(NotFound)", "the server doesn't have a resource type"))


def _one_line(text: str) -> str:
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("Warning:", "E1", "E0"))
    ]
    return " ".join(lines)[-1000:] or "kubectl failed without a message"
