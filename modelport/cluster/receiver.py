"""A pod that keeps what is posted to it: the collector of traces and the sink of a record, of the test's own."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from modelport.cluster.kubectl import Kubectl
from modelport.cluster.pods import OwnPod, pod, service_of

NAME, PORT = "otel-collector", 4318
_FILE = "/tmp/received.jsonl"  # noqa: S108 (in the pod)
_PROGRAM = f"""
import base64, http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        line = {{"path": self.path, "type": self.headers["content-type"], "body": base64.b64encode(body).decode()}}
        with open("{_FILE}", "a") as file:
            file.write(json.dumps(line) + "\\n")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

http.server.ThreadingHTTPServer(("", {PORT}), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Received:
    """A request: its path, content type and body."""

    path: str
    content_type: str
    body: bytes


class Receiver:
    """A running pod and its Service, which has the collector's name that the component `tracing` declares.

    Args:
        cluster: where.
        namespace: of the test's callers.
        image: with Python.
    """

    def __init__(self, cluster: Kubectl, namespace: str, image: str) -> None:
        document = pod(NAME, namespace, image)
        document["spec"]["containers"][0]["command"] = ["python3", "-c", _PROGRAM]
        cluster.apply([service_of(document, PORT)])
        self._pod = OwnPod(cluster, document)
        self.url = f"http://{NAME}.{namespace}.svc.cluster.local:{PORT}"

    def received(self) -> list[Received]:
        """All requests so far."""
        text = self._pod.execute("sh", "-c", f"cat {_FILE} 2>/dev/null || true")
        told = [json.loads(line) for line in text.splitlines()]
        return [Received(one["path"], one["type"], base64.b64decode(one["body"])) for one in told]

    def delete(self) -> None:
        """Remove the pod; the Service stays, for the next one."""
        self._pod.delete()
