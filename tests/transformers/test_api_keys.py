"""API keys: without one nothing is answered but probes and scrapes, over HTTP and gRPC."""

import base64
import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from transformer import serving
from waiting import wait_for

from kserve_transformers.api_keys import ApiKeys


def create(name: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "kserve_transformers.api_keys", name, "--file", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "keys.txt"


@pytest.fixture(scope="module")
def key(file):
    return create("alice", file).stdout.strip()


@pytest.fixture(scope="module")
def ports(free_ports):
    return free_ports(2)


@pytest.fixture(scope="module")
def server(file, key, ports, tmp_path_factory):
    options = ("--service=digits=digits:mnist", f"--api_keys={file}", "--log_requests")
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, ports, *options) as (_, client):
        yield client, log


def test_file_has_names_and_digests_but_no_keys(file, key):
    assert file.read_text() == f"alice {hashlib.sha256(key.encode()).hexdigest()}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    again = create("alice", file)
    assert again.returncode == 1
    assert "choose letters" in again.stderr


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/metrics"])
def test_probes_and_scrapes_need_no_key(server, path):
    assert server[0].get(path).status_code in (200, 503)


WRONG = ["", "Bearer", "Bearer wrong", "Basic", "Basic !", basic("alice", ""), "Digest x", "Bearer \u00e9"]


@pytest.mark.parametrize("header", WRONG)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v2"),
        ("GET", "/v2/models/digits"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing/here"),
        ("POST", "/digits/predict"),
        ("POST", "/v1/models/digits:predict"),
        ("POST", "/v2/models/digits/infer"),
    ],
)
def test_all_else_is_401_without_a_key(server, method, path, header):
    response = server[0].request(method, path, headers={"authorization": header.encode()} if header else {})
    assert response.status_code == 401
    assert response.json() == {"error": "an API key is required: send it as Authorization: Bearer KEY"}
    assert response.headers["www-authenticate"] == 'Bearer realm="modelport", Basic realm="modelport"'


def test_key_is_accepted_counted_and_logged_by_its_name(server, key):
    client, log = server
    for header in (f"Bearer {key}", f"bearer {key}", basic("anybody", key)):
        response = client.post("/digits/predict", files={"file": b"no image"}, headers={"authorization": header})
        assert response.status_code != 401
    assert client.get("/v2/models/digits", headers={"authorization": f"Bearer {key}"}).status_code == 200
    metrics = client.get("/metrics").text
    assert 'modelport_key_requests_total{key="alice"} ' in metrics
    assert 'modelport_key_requests_total{key="none"} ' in metrics
    assert '"key": "alice"' in log.read_text()
    assert key not in log.read_text()


def test_grpc_is_the_same(server, ports, key):
    with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelMetadata(pb.ModelMetadataRequest(name="digits"), timeout=60)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        over = threading.Event()
        silent = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as refused:  # no message is waited for
            silent((over.wait() for _ in range(1)), timeout=60)
        over.set()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        told = stub.ModelMetadata(
            pb.ModelMetadataRequest(name="digits"), timeout=60, metadata=[("authorization", f"Bearer {key}")]
        )
        assert told.name == "digits"


def test_key_is_revoked_and_added_without_a_restart(tmp_path):
    file = tmp_path / "keys.txt"
    first, second = (create(name, file).stdout.strip() for name in ("first", "second"))
    keys = ApiKeys(file)
    assert keys.name_of(f"Bearer {first}") == "first"
    lines = file.read_text().splitlines(keepends=True)
    file.with_suffix(".new").write_text("# revoked: first\n" + lines[1])
    file.with_suffix(".new").replace(file)
    wait_for(lambda: keys.name_of(f"Bearer {first}") is None)
    assert keys.name_of(f"Bearer {second}") == "second"
    file.write_text("broken")
    before = keys._state
    wait_for(lambda: keys.name_of("") is None and keys._state != before)  # it has been read again
    assert keys.name_of(f"Bearer {second}") == "second"


@pytest.mark.parametrize("text", ["", "# none\n", "alice\n", "alice 12\n", f"none {'0' * 64}\n", f"a {'0' * 64}\n" * 2])
def test_malformed_file_is_refused(tmp_path, text):
    file = tmp_path / "keys.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"keys\.txt"):
        ApiKeys(file)
    with pytest.raises(ValueError, match="cannot be read"):
        ApiKeys(tmp_path / "missing")


def test_client_of_httpx_with_a_password(server, key):
    assert httpx.get(server[0].base_url.join("/v2"), auth=("", key), timeout=60).status_code == 200
