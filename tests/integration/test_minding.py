"""`make serve` minds its processes: what is killed or stalled is replaced, and callers see honest errors."""

import os
import signal
import subprocess
import sys

import httpx
import pytest
from processes import STUB, TRANSFORMER, TRITON, matching, running
from waiting import wait_for

from modelport.environment import ROOT


@pytest.fixture(scope="module")
def serving(stack, free_ports, tmp_path_factory):
    """`make serve SERVICES=digits` of its own; yields its process and URL. `stack` exported what it needs."""
    port, _, triton_port, *_ = free_ports(5)  # a server takes two in a row, Triton three
    log = tmp_path_factory.mktemp("minding") / "log"
    command = [
        sys.executable,
        "-m",
        "modelport.stack",
        "--services=digits",
        f"--port={port}",
        f"--triton-port={triton_port}",
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=dict(os.environ))
    wait_for(lambda: "ready: http" in log.read_text(), log)
    yield process, f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def status(url, picture):
    try:
        return httpx.post(
            f"{url}/predict", files={"file": picture}, headers={"x-request-timeout-ms": "2000"}, timeout=60
        ).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_a_models_process_is_replaced(serving, repository, harm):
    process, url = serving
    picture = (repository / "mnist" / "golden" / "images.png").read_bytes()
    wait_for(lambda: status(url, picture) == 200)
    (stub,) = matching(STUB, under=process.pid)
    stub.send_signal(harm)
    seen = set()
    wait_for(lambda: (seen.add(status(url, picture)), matching(STUB, under=process.pid) not in ([], [stub]))[1])
    wait_for(lambda: not running(stub))
    wait_for(lambda: (seen.add(status(url, picture)), 200 in seen and status(url, picture) == 200)[1])
    assert seen <= {200, 502, 503, 504}


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
@pytest.mark.parametrize("name", [TRITON, TRANSFORMER])
def test_a_server_is_started_again(serving, repository, name, harm):
    process, url = serving
    picture = (repository / "mnist" / "golden" / "images.png").read_bytes()
    wait_for(lambda: status(url, picture) == 200)
    (server,) = matching(name, under=process.pid)
    server.send_signal(harm)
    seen = set()
    wait_for(lambda: not running(server))
    wait_for(lambda: (seen.add(status(url, picture)), status(url, picture) == 200)[1])
    assert seen <= {0, 200, 502, 503, 504}
    if name == TRITON:
        assert 0 not in seen
