"""A real Triton under its owner: closed to others, replaced when it died, gone without a trace."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import toy_model
import tritonclient.grpc as triton_grpc
from processes import STUB, TRITON, matching
from tritonclient.utils import InferenceServerException
from waiting import wait_for

from modelport.stack import guard, triton_server
from modelport.stack.diagnosis import Diagnosis, Verdict
from modelport.stack.errors import StartError
from modelport.stack.triton_server import SECRET_HEADER, TritonServer


@pytest.fixture(scope="module")
def repository(add_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    add_model(folder, "onnxruntime_onnx", "lookup")
    return folder


@pytest.fixture(scope="module")
def triton(new_triton, repository):
    server = new_triton(repository)
    server.start()
    server.wait_until_ready()
    return server


def anything_of(word: str) -> bool:
    """Whether any process runs, guards included, that has this word in its command line."""
    return bool(matching(word, guards=True))


@pytest.mark.parametrize(
    "path", ["v2/health/ready", "v2", "v2/models/lookup", "v2/models/lookup/config", "v2/models/lookup/stats"]
)
def test_what_a_transformer_reads_is_open(triton, path):
    assert httpx.get(f"http://127.0.0.1:{triton.settings.http_port}/{path}", timeout=60).status_code == 200


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
def test_management_is_closed_over_http(triton, method, path):
    url = f"http://127.0.0.1:{triton.settings.http_port}/{path}"
    for headers in ({}, {SECRET_HEADER: "guess"}):
        assert httpx.request(method, url, json={}, headers=headers, timeout=60).status_code == 403


def test_management_is_closed_over_grpc(triton):
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{triton.settings.grpc_port}") as client:
        for call in (
            client.get_model_repository_index,
            client.get_system_shared_memory_status,
            client.get_log_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()


def test_owner_reaches_management(triton):
    answer = httpx.post(
        f"http://127.0.0.1:{triton.settings.http_port}/v2/repository/index",
        json={},
        headers={SECRET_HEADER: triton.settings.secret},
        timeout=60,
    )
    assert [model["name"] for model in answer.json()] == ["lookup"]


def test_log_of_a_good_start_holds_no_complaint(triton):
    complaints = [line for line in triton.log().splitlines() if re.match(r"[EWF]\d{4} ", line)]
    assert [line for line in complaints if "CudaDriverHelper" not in line] == []


def test_killed_server_is_noticed_and_can_start_again(triton):
    (server,) = matching(TRITON, f"--http-port={triton.settings.http_port}")
    server.kill()
    wait_for(lambda: not triton.is_alive())
    assert not anything_of(str(triton.settings.repository))
    triton.start()
    triton.wait_until_ready()
    assert triton.is_ready()


def test_start_that_fails_says_why(new_triton, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.pbtxt").write_text("nonsense")
    server = new_triton(tmp_path)
    server.start()
    with pytest.raises(StartError, match=r"Triton ended while starting .*config\.pbtxt"):
        server.wait_until_ready()


def test_one_of_a_models_processes_that_is_gone_is_seen(add_model, new_triton, tmp_path):
    add_model(tmp_path / "models", "onnxruntime_onnx", "pair", ("count: 1", "count: 2"))
    server = new_triton(tmp_path / "models", models=("pair",))
    server.start()
    server.wait_until_ready()
    for harm, verdict in ((signal.SIGKILL, Verdict.DEAD), (signal.SIGSTOP, Verdict.STALLED)):
        diagnosis = Diagnosis()
        assert diagnosis.judge(server.model_sight("pair")) is Verdict.WELL
        stubs = matching(STUB, "/pair/", f"modelport-{os.getpid()}-{server.settings.http_port}-")
        assert len(stubs) == 2
        stubs[0].send_signal(harm)
        wait_for(lambda: diagnosis.judge(server.model_sight("pair")) is verdict)  # noqa: B023 (waited for at once)
        server.replace_model("pair")
        assert Diagnosis().judge(server.model_sight("pair")) is Verdict.WELL


@pytest.fixture
def two(new_triton, tmp_path):
    """A Triton with a model whose load waits for the fixture's pipe, and another one."""
    toy_model.add_model(tmp_path, name="other")
    toy_model.add_model(tmp_path, name="slow")
    server = new_triton(tmp_path, models=("other", "slow"))
    server.start()
    server.wait_until_ready()
    return server


def infer(server: TritonServer, model: str = "other") -> int:
    tensor = {"name": "x__0", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    url = f"http://127.0.0.1:{server.settings.http_port}/v2/models/{model}/infer"
    return httpx.post(url, json={"inputs": [tensor]}, timeout=300).status_code


def test_a_model_that_loads_for_long_holds_up_no_other(two, tmp_path):
    """Its artefact is a pipe: the load lasts until the test opens it, after all others have their answers."""
    artefact = tmp_path / "slow" / "1" / "model.onnx"
    content = artefact.read_bytes()
    artefact.unlink()
    os.mkfifo(artefact)
    with ThreadPoolExecutor() as pool:
        replacing = pool.submit(two.replace_model, "slow")
        wait_for(lambda: infer(two, "slow") != 200)
        # More than Triton's HTTP server has threads, each on a connection of its own.
        assert [infer(two) for _ in range(40)] == [200] * 40
        assert two.answers()
        assert not replacing.done()
        artefact.open("wb").close()
        with pytest.raises(StartError, match="could not load slow"):  # nothing came through the pipe
            replacing.result()
    artefact.unlink()
    artefact.write_bytes(content)
    two.replace_model("slow")
    assert infer(two, "slow") == 200


def test_models_are_loaded_and_unloaded_one_at_a_time(new_triton, tmp_path, monkeypatch):
    """An update beside a replacement has crashed Triton."""
    toy_model.add_model(tmp_path, name="other")
    toy_model.add_model(tmp_path, name="added")
    server = new_triton(tmp_path, models=("other",))
    told: list[str] = []

    def tell(model: str, step: str) -> None:
        told.append(f"{step} {model}")
        time.sleep(0.05)
        told.append("done")

    monkeypatch.setattr(server, "_tell", tell)
    with ThreadPoolExecutor() as pool:
        steps = [pool.submit(server.replace_model, "other"), pool.submit(server.load_model, "added")]
        steps.append(pool.submit(server.replace_model, "other"))
        for step in steps:
            step.result()
    assert told[1::2] == ["done"] * 5
    assert server.models == ("other", "added")


def footprint(server: TritonServer) -> dict[str, int]:
    """What could grow with each replacement."""
    (process,) = matching(TRITON, f"--http-port={server.settings.http_port}")
    children = process.children()
    return {
        "threads": process.num_threads(),
        "files": process.num_fds(),
        "children": len(children),
        "zombies": sum(child.status() == "zombie" for child in children),
        "regions": len(list(guard.SHARED_MEMORY.glob(f"modelport-{os.getpid()}-{server.settings.http_port}-*"))),
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_grows_over_200_replacements(two):
    before = footprint(two)
    for _ in range(200):
        two.replace_model("other", kill=False)
        assert infer(two) == 200
    grown = {what: count - before[what] for what, count in footprint(two).items()}
    assert max(grown.values()) <= 5, grown  # not one per replacement; a thread may just be ending
    assert two.worn() is None


def test_what_piles_up_of_killed_processes_is_ended_by_a_new_start(two, monkeypatch):
    """Triton does not release what died with a request."""
    monkeypatch.setattr(triton_server, "MAX_ZOMBIES", 1)
    while two.worn() is None:
        for stub in matching(STUB, "/other/", f"modelport-{os.getpid()}-{two.settings.http_port}-"):
            stub.kill()
        wait_for(lambda: infer(two) != 200)
        two.replace_model("other")
    assert footprint(two)["zombies"] >= 1
    assert "dead processes" in str(two.worn())
    two.stop()
    two.start()
    two.wait_until_ready()
    assert two.worn() is None
    assert footprint(two)["zombies"] == 0
