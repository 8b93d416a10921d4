"""Runs in a pod of the cluster: sends the requests on its standard input, and signals containers' processes.

Usage: python caller.py send NUMBER < requests   a list of requests in, so many at a time; a list of answers out
       python caller.py begin URL FILE < load    begins to send a load, and leaves it running
       python caller.py end FILE                 ends it; FILE gets how often each outcome occurred
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
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


def send(request: dict[str, Any]) -> dict[str, Any]:
    """One request: url, method, headers, body (base64); grpc: the method's path instead of `method`.

    `padded_to`: spaces follow the body until it has so many bytes.

    Certificates are verified by the authorities that the environment names (SSL_CERT_FILE,
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH).

    Returns:
        status (an HTTP status, or the name of a gRPC code), headers, body (base64); status "unreachable" and `error`
        where there was no answer.
    """
    body = base64.b64decode(request.get("body", "")).ljust(request.get("padded_to", 0))
    try:
        return _unary(request, body) if "grpc" in request else _http(request, body)
    except (OSError, http.client.HTTPException) as error:
        return {"status": "unreachable", "error": str(error) or type(error).__name__, "headers": {}, "body": ""}


def _http(request: dict[str, Any], body: bytes) -> dict[str, Any]:
    address = urlsplit(request["url"])
    timeout_s = request.get("timeout_s", TIMEOUT_S)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=timeout_s)
    try:
        path = address.path + (f"?{address.query}" if address.query else "")
        with suppress(BrokenPipeError, ConnectionResetError):  # a body that is refused is not read to its end
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
    address = urlsplit(request["url"])
    if address.scheme == "https":
        opened = grpc.secure_channel(address.netloc, grpc.ssl_channel_credentials(), options)
    else:
        opened = grpc.insecure_channel(address.netloc, options)
    with opened as channel:
        try:
            content = channel.unary_unary(request["grpc"])(body, timeout=TIMEOUT_S, metadata=list(headers.items()))
        except grpc.RpcError as error:
            return {"status": error.code().name, "error": error.details(), "headers": {}, "body": ""}
    return {"status": "200", "headers": {}, "body": base64.b64encode(content).decode()}


def begin(url: str, file: Path) -> None:
    """Leave a process behind that sends a load: a connection of `kubectl exec` may not live as long as the load."""
    command = [sys.executable, __file__, "load", url, str(file)]
    log = file.with_suffix(".log").open("w")
    loader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True)
    if loader.stdin:
        loader.stdin.write(sys.stdin.readline())
        loader.stdin.close()
    while not _begun(file).exists():
        if loader.poll() is not None:
            raise OSError(f"the load ended at once with {loader.returncode}")
        time.sleep(0.1)


def load(url: str, file: Path) -> None:
    """Send a load with the project's generator until it is ended."""
    command = [sys.executable, "-P", "-m", "modelport.measure.generator", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator:
        if generator.stdin is None or generator.stdout is None:
            raise OSError("the generator has no input or output")
        generator.stdin.write(sys.stdin.readline())
        generator.stdin.flush()
        generator.stdout.readline()  # it begins
        _begun(file).touch()
        while not _ended(file).exists() and generator.poll() is None:
            time.sleep(0.1)
        report = json.loads(generator.communicate()[0])
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(Counter(record[1] for record in report["records"])))  # at, outcome, ...
    unfinished.replace(file)


def _begun(file: Path) -> Path:
    return file.with_suffix(".begun")


def _ended(file: Path) -> Path:
    return file.with_suffix(".ended")


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
        with ThreadPoolExecutor(int(sys.argv[2])) as pool:
            print(json.dumps(list(pool.map(send, json.load(sys.stdin)))))  # noqa: T201
    elif sys.argv[1] == "begin":
        begin(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1] == "load":
        load(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1] == "end":
        _ended(Path(sys.argv[2])).touch()
    else:
        print(signal_container(int(sys.argv[2]), sys.argv[3]))  # noqa: T201
