"""A real Triton under its owner: closed to others, replaced when it died, gone without a trace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as triton_grpc
from processes import STUB, TRITON, matching
from tritonclient.utils import InferenceServerException
from waiting import wait_for

from modelport.stack import guard
from modelport.stack.errors import StartError
from modelport.stack.triton_distribution import Distribution
from modelport.stack.triton_server import SECRET_HEADER, TritonServer, TritonSettings

SERVING = Path(guard.__file__).parents[1]
STACK = """
import pathlib, sys, time
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings
repository, log, *ports = sys.argv[1:]
server = TritonServer(lay_out(), TritonSettings(pathlib.Path(repository), pathlib.Path(log), *map(int, ports)))
server.start()
if "wait" in log:
    server.wait_until_ready()
print("started", flush=True)
time.sleep(99)
"""


@pytest.fixture(scope="module")
def repository(add_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    add_model(folder, "onnxruntime_onnx", "lookup")
    return folder


@pytest.fixture(scope="module")
def triton(new_triton: Callable[[Path], TritonServer], repository: Path) -> TritonServer:
    server = new_triton(repository)
    server.start()
    server.wait_until_ready()
    return server


def anything_of(word: str) -> bool:
    """Whether any process runs, guards included, that has this word in its command line."""
    return bool(matching(word, guards=True))


def regions(pid: int) -> list[Path]:
    return list(guard.SHARED_MEMORY.glob(f"modelport-{pid}-*"))


def test_listens_on_loopback_only(triton: TritonServer) -> None:
    (server,) = matching(TRITON, f"--http-port={triton.settings.http_port}")
    listening = {connection.laddr for connection in server.connections("tcp") if connection.status == "LISTEN"}
    settings = triton.settings
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {settings.http_port, settings.grpc_port, settings.metrics_port}


@pytest.mark.parametrize(
    "path", ["v2/health/ready", "v2", "v2/models/lookup", "v2/models/lookup/config", "v2/models/lookup/stats"]
)
def test_what_a_transformer_reads_is_open(triton: TritonServer, path: str) -> None:
    assert httpx.get(f"http://127.0.0.1:{triton.settings.http_port}/{path}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "v2/repository/index"),
        ("POST", "v2/repository/models/lookup/unload"),
        ("GET", "v2/systemsharedmemory/status"),
        ("POST", "v2/systemsharedmemory/region/own/register"),
        ("GET", "v2/cudasharedmemory/status"),
        ("GET", "v2/trace/setting"),
        ("GET", "v2/logging"),
        ("POST", "v2/logging"),
    ],
)
def test_management_is_closed_over_http(triton: TritonServer, method: str, path: str) -> None:
    url = f"http://127.0.0.1:{triton.settings.http_port}/{path}"
    assert httpx.request(method, url, json={}).status_code == 403
    assert httpx.request(method, url, json={}, headers={SECRET_HEADER: "guess"}).status_code == 403


def test_management_is_closed_over_grpc(triton: TritonServer) -> None:
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{triton.settings.grpc_port}") as client:
        for call in (
            client.get_model_repository_index,
            client.get_system_shared_memory_status,
            client.get_log_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()


def test_owner_reaches_management(triton: TritonServer) -> None:
    answer = httpx.post(
        f"http://127.0.0.1:{triton.settings.http_port}/v2/repository/index",
        json={},
        headers={SECRET_HEADER: triton.settings.secret},
    )
    assert [model["name"] for model in answer.json()] == ["lookup"]


def test_log_of_a_good_start_holds_no_complaint(triton: TritonServer) -> None:
    complaints = [line for line in triton.log().splitlines() if re.match(r"[EWF]\d{4} ", line)]
    assert [line for line in complaints if "CudaDriverHelper" not in line] == []


def test_killed_server_is_noticed_and_can_start_again(triton: TritonServer) -> None:
    (server,) = matching(TRITON, f"--http-port={triton.settings.http_port}")
    server.kill()
    wait_for(lambda: not triton.is_alive())
    assert not anything_of(str(triton.settings.repository))
    triton.start()
    triton.wait_until_ready()
    assert triton.is_ready()


def test_stop_leaves_no_process_and_no_shared_memory(
    new_triton: Callable[[Path], TritonServer], repository: Path
) -> None:
    server = new_triton(repository)
    before = set(regions(os.getpid()))
    server.start()
    server.wait_until_ready()
    assert set(regions(os.getpid())) - before
    server.stop()
    assert not anything_of(str(server.settings.log_file))
    assert not anything_of(f"--http-port={server.settings.http_port}")
    assert set(regions(os.getpid())) == before


@pytest.mark.parametrize("moment", ["wait until ready", "at once"])
def test_kill_9_of_the_stack_leaves_nothing_within_five_seconds(
    repository: Path, tmp_path: Path, moment: str, free_ports: Callable[[int], list[int]]
) -> None:
    ports = [str(port) for port in free_ports(3)]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", STACK, str(repository), str(tmp_path / moment), *ports]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as stack:
        assert stack.stdout is not None
        stack.stdout.readline()
        time.sleep(0 if moment.startswith("wait") else 0.15)  # in the middle of loading
        assert anything_of(f"--http-port={ports[0]}")
        stack.send_signal(signal.SIGKILL)
    # within five seconds; what is left over stays for ever
    wait_for(lambda: not anything_of(f"--http-port={ports[0]}") and not regions(stack.pid))
    assert not anything_of(f"modelport-{stack.pid}-")
    assert not regions(stack.pid)


def test_start_that_fails_says_why(new_triton: Callable[[Path], TritonServer], tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.pbtxt").write_text("nonsense")
    server = new_triton(tmp_path)
    server.start()
    with pytest.raises(StartError, match=r"Triton ended while starting .*config\.pbtxt"):
        server.wait_until_ready()


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_one_of_a_models_processes_that_is_gone_is_seen(
    add_model: Callable[..., Path],
    distribution: Distribution,
    free_ports: Callable[[int], list[int]],
    tmp_path: Path,
    harm: signal.Signals,
) -> None:
    add_model(tmp_path / "models", "onnxruntime_onnx", "pair", ("count: 1", "count: 2"))
    settings = TritonSettings(tmp_path / "models", tmp_path / "triton.log", *free_ports(3), models=("pair",))
    server = TritonServer(distribution, settings)
    server.start()
    try:
        server.wait_until_ready()
        assert server.crippled_models() == []
        stubs = matching(STUB, "/pair/", f"modelport-{os.getpid()}-{settings.http_port}-")
        assert len(stubs) == 2
        stubs[0].send_signal(harm)
        wait_for(lambda: server.crippled_models() == ["pair"])
        server.replace_model("pair")
        assert server.crippled_models() == []
    finally:
        server.stop()
