"""The test's own pods: one that calls the services from a gateway's namespace, one that fills the models' volume."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modelport.cluster.kubectl import Kubectl, wait_until
from modelport.cluster.relocation import OWNED
from modelport.environment import ROOT
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at
from modelport.measure.generator.load import Load

SENT = ("modelport/__init__.py", "modelport/measure/__init__.py", "modelport/measure/metering.py")
POD_TIMEOUT_S = 180.0
PROGRAM = "/tmp/caller/caller.py"  # noqa: S108 (in the pod)
AUTHORITY = "/tmp/caller/authority.pem"  # noqa: S108 (in the pod)
LOAD_END_S = 120.0
_RUN_FOREVER = ["python3", "-c", "import signal; signal.signal(signal.SIGTERM, lambda *_: exit()); signal.pause()"]


def namespace(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A namespace of the test's own."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {OWNED: "true", **labels}}}


def pod(name: str, where: str, image: str, **spec: Any) -> dict[str, Any]:
    """A pod with the transformer's image that waits for `kubectl exec`."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": _RUN_FOREVER}
    mounts = spec.pop("mounts", None)
    if mounts:
        container["volumeMounts"] = mounts
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": where, "labels": {OWNED: "true"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, "restartPolicy": "Never", **spec},
    }


def service_of(document: dict[str, Any], port: int) -> dict[str, Any]:
    """A Service that leads to one of the test's own pods, under the pod's name; the pod gets the label for it."""
    name = at(document, "metadata.name")
    document["metadata"]["labels"]["app"] = name
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": at(document, "metadata.namespace")},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }


class OwnPod:
    """A running pod of the test's own; it is running when this is constructed.

    Args:
        cluster: where.
        document: what `pod` made.
    """

    def __init__(self, cluster: Kubectl, document: Document) -> None:
        self._cluster = cluster
        self.name, self.namespace = at(document, "metadata.name"), at(document, "metadata.namespace")
        cluster.apply([document])
        wait_until(self._runs, f"pod {self.name} of the test runs", POD_TIMEOUT_S, self._events)

    def execute(self, *command: str, stdin: bytes | str = b"", timeout_s: float = 120.0) -> str:
        """Run a command in the pod; returns what it printed."""
        return self._cluster.run(*self._exec(*command), stdin=stdin, timeout_s=timeout_s)

    def unpack(self, files: Iterable[tuple[str, Path]], folder: str) -> None:
        """Copy files and folders into a folder of the pod, under the names that are given with them."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, path in files:
                archive.add(path, name, filter=_readable)
        unpack = f"import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall({folder!r})"
        self.execute("python3", "-c", unpack, stdin=packed.getvalue(), timeout_s=600)

    def delete(self) -> None:
        """Remove it."""
        self._cluster.delete("pod", self.name, self.namespace)

    def _exec(self, *command: str) -> list[str]:
        return ["exec", "--stdin", f"--namespace={self.namespace}", self.name, "--", *command]

    def _runs(self) -> bool:
        return bool(at(self._cluster.get("pod", self.name, self.namespace) or {}, "status.phase") == "Running")

    def _events(self) -> str:
        return explain(self._cluster, self.namespace)


class Caller(OwnPod):
    """The pod that sends requests, as a gateway's pods would."""

    def __init__(self, cluster: Kubectl, document: Document) -> None:
        super().__init__(cluster, document)
        own = Path(__file__).with_name("caller.py")
        generator = sorted((ROOT / "modelport" / "measure" / "generator").glob("*.py"))
        files = [(str(path.relative_to(ROOT)), path) for path in (*map(ROOT.joinpath, SENT), *generator)]
        self.unpack([("caller.py", own), *files], PROGRAM.rpartition("/")[0])

    def send(self, requests: Sequence[Mapping[str, Any]], parallel: int = 1) -> list[dict[str, Any]]:
        """Send requests in turn, or several at a time; see `caller.send` for their form and that of the answers."""
        trusted = ("env", f"SSL_CERT_FILE={AUTHORITY}", f"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH={AUTHORITY}")
        answers: list[dict[str, Any]] = json.loads(
            self.execute(*trusted, "python3", PROGRAM, "send", str(parallel), stdin=json.dumps(requests), timeout_s=600)
        )
        return answers

    def trust(self, host: str, address: str, authority: str) -> None:
        """Let a name stand for an address, and trust an authority (PEM) alone, as callers of a real gateway would."""
        code = (
            "import pathlib, sys\n"
            "hosts = pathlib.Path('/etc/hosts')\n"
            f"kept = [line for line in hosts.read_text().splitlines() if line.split()[1:] != [{host!r}]]\n"
            f"hosts.write_text('\\n'.join([*kept, {f'{address} {host}'!r}]) + '\\n')\n"
            f"pathlib.Path({AUTHORITY!r}).write_text(sys.stdin.read())\n"
        )
        self.execute("python3", "-c", code, stdin=authority)

    def begin(self, url: str, load: Load) -> str:
        """Begin to send a load; returns the file in the pod that will have its outcomes."""
        folder = PROGRAM.rpartition("/")[0]
        file = f"{folder}/{secrets.token_hex(4)}.json"
        environment = f"PYTHONPATH={folder}:/app:/packages"
        self.execute("env", environment, "python3", PROGRAM, "begin", url, file, stdin=load.to_json() + "\n")
        return file

    def end(self, file: str) -> Counter[str]:
        """Send no more requests of a load; returns how often each outcome occurred.

        Raises:
            ClusterError: the load did not end.
        """
        self.execute("python3", PROGRAM, "end", file)
        log = file.removesuffix(".json") + ".log"
        return Counter(
            json.loads(
                wait_until(lambda: self._content(file), "the load ends", LOAD_END_S, partial(self._content, log))
            )
        )

    def _content(self, file: str) -> str:
        try:
            return self.execute("cat", file)
        except ClusterError:  # there is no such file yet
            return ""

    def signal(self, number: int, container_id: str) -> None:
        """Signal a container's first process on the node; the pod must see the node's processes."""
        self.execute("python3", PROGRAM, "signal", str(number), container_id.rpartition("/")[2])


def explain(cluster: Kubectl, where: str) -> str:
    """Why pods of a namespace are not ready: their states, and the latest warnings about them."""
    try:
        told = [*map(_state, cluster.items("pod", where)), *_warnings(cluster.items("event", where))]
    except ClusterError as error:
        return str(error)
    return "; ".join(filter(None, told))


def _state(found: Document) -> str:
    conditions = {one["type"]: one for one in at(found, "status.conditions", [])}
    if at(conditions, "Ready.status") == "True":
        return ""
    containers = [*at(found, "status.initContainerStatuses", []), *at(found, "status.containerStatuses", [])]
    reasons = [
        f"{one['name']}: {at(state, 'reason')} {at(state, 'message', '')}".strip()
        for one in containers
        for state in one["state"].values()
        if not one.get("ready") and at(state, "reason") not in (None, "Completed")
    ]
    unscheduled = at(conditions, "PodScheduled.message")
    why = ", ".join(filter(None, [unscheduled, *reasons])) or at(found, "status.phase")
    return f"pod {at(found, 'metadata.name')} is not ready ({why})"


def _warnings(events: Iterable[Document]) -> list[str]:
    warnings = [one for one in events if one.get("type") == "Warning"]
    warnings.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    lines = [f"{at(one, 'involvedObject.name')}: {one.get('reason')}: {one.get('message')}" for one in warnings]
    return list(dict.fromkeys(line[:300] for line in lines))[-4:]


def _readable(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 1000
    info.mode |= 0o444 | (0o111 if info.isdir() else 0)
    return info
