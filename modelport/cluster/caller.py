"""Runs in a pod of the cluster: sends the requests on its standard input, and signals containers' processes.

Usage: python caller.py send < requests.json     a list of requests in, a list of answers out
       python caller.py load URL FILE < load     a line when the load begins; FILE gets its outcomes at its end
       python caller.py signal NUMBER CONTAINER  a signal to the container's first process; needs the node's processes

Only what the transformer's image holds is imported.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


def send(request: dict[str, Any]) -> dict[str, Any]:
    """One request: url, method, headers, body (base64); grpc: the method's path instead of `method`.

    Returns:
        status (an HTTP status, or the name of a gRPC code), headers, body (base64); status "unreachable" and `error`
        where there was no answer.
    """
    body = base64.b64decode(request.get("body", ""))
    try:
        return _unary(request, body) if "grpc" in request else _http(request, body)
    except (OSError, http.client.HTTPException) as error:
        return {"status": "unreachable", "error": str(error) or type(error).__name__, "headers": {}, "body": ""}


def _http(request: dict[str, Any], body: bytes) -> dict[str, Any]:
    address = urlsplit(request["url"])
    timeout_s = request.get("timeout_s", TIMEOUT_S)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=timeout_s)
    try:
        path = address.path + (f"?{address.query}" if address.query else "")
        connection.request(request.get("method", "GET"), path, body or None, request.get("headers", {}))
        answer = connection.getresponse()
        content = base64.b64encode(answer.read()).decode()
    finally:
        connection.close()
    return {"status": str(answer.status), "headers": {k.lower(): v for k, v in answer.getheaders()}, "body": content}


def _unary(request: dict[str, Any], body: bytes) -> dict[str, Any]:
    import grpc  # only where it is needed: the import takes a second

    headers = dict(request.get("headers", {}))
    options = [("grpc.max_receive_message_length", -1)]
    if "host" in headers:
        options.append(("grpc.default_authority", headers.pop("host")))
    with grpc.insecure_channel(urlsplit(request["url"]).netloc, options) as channel:
        try:
            content = channel.unary_unary(request["grpc"])(body, timeout=TIMEOUT_S, metadata=list(headers.items()))
        except grpc.RpcError as error:
            return {"status": error.code().name, "error": error.details(), "headers": {}, "body": ""}
    return {"status": "200", "headers": {}, "body": base64.b64encode(content).decode()}


def load(url: str, file: Path) -> None:
    """Send a load with the project's generator until standard input ends.

    How often each outcome occurred goes to a file: `kubectl exec` may lose what is printed after the end of its input.
    """
    command = [sys.executable, "-P", "-m", "modelport.measure.generator", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
        if generator.stdout is None:
            raise OSError("the generator has no output")
        print(generator.stdout.readline(), end="", flush=True)  # noqa: T201
        report = json.loads(generator.stdout.read())
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(Counter(record[1] for record in report["records"])))  # at, outcome, ...
    unfinished.replace(file)


def signal_container(number: int, container: str) -> int:
    """Send a signal to the oldest process of a container; returns its process id.

    Raises:
        ProcessLookupError: no process of the node is in the container.
    """
    for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            inside = container in (entry / "cgroup").read_text()
        except OSError:
            continue
        if inside:
            os.kill(int(entry.name), signal.Signals(number))
            return int(entry.name)
    raise ProcessLookupError(f"no process of container {container}")


if __name__ == "__main__":
    if sys.argv[1] == "send":
        print(json.dumps([send(one) for one in json.load(sys.stdin)]))  # noqa: T201
    elif sys.argv[1] == "load":
        load(sys.argv[2], Path(sys.argv[3]))
    else:
        print(signal_container(int(sys.argv[2]), sys.argv[3]))  # noqa: T201
