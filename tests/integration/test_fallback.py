"""The classifier's chain under load: its first model's process is killed, or stalled, and no request fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

FIRST, SECOND = "wide_resnet50_2", "mobilenet_v2"


@dataclass
class Seen:
    """What callers saw."""

    statuses: Counter = field(default_factory=Counter)
    models: list[tuple[str, bool]] = field(default_factory=list)


@pytest.fixture
def chain(stack, repository, free_ports, tmp_path):
    """A Triton with two classifiers, and a transformer whose chain they are; yields its URL and the first's process."""
    ports = free_ports(5)
    settings = TritonSettings(repository, tmp_path / "triton.log", *ports[:3], models=(FIRST, SECOND))
    triton = TritonServer(lay_out(), settings)
    triton.start()
    command = [
        sys.executable,
        "-m",
        "kserve_transformers",
        f"--service=classifier=classification:{FIRST},{SECOND}",
    ]
    command += ["--host=127.0.0.1", f"--http_port={ports[3]}", f"--grpc_port={ports[4]}", "--drain_s=0"]
    command += [f"--predictor_host=127.0.0.1:{ports[0]}", f"--model_repository={repository}"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with (tmp_path / "transformer.log").open("wb") as log:
        transformer = subprocess.Popen(command, env=environment, stderr=log)
    url = f"http://127.0.0.1:{ports[3]}"
    try:
        triton.wait_until_ready()
        wait_for(lambda: all(model["ready"] for model in models(url).values()))
        yield url
    finally:
        transformer.terminate()
        transformer.wait(60)
        triton.stop()


def models(url):
    try:
        report = httpx.get(f"{url}/v2/health/ready", timeout=10).json()
    except httpx.HTTPError:
        return {"server": {"ready": False}}
    return report["services"]["classifier"]["models"]


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def stub_of(model, log_file):
    """The model's process; a Triton and all its processes write into one file."""
    (process,) = (
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if "triton_python_b" in process.info["name"]
        and f"/{model}/" in " ".join(process.info["cmdline"] or [])
        and Path(f"/proc/{process.pid}/fd/1").resolve() == log_file
    )
    return process


def keep_asking(url, picture, seen, stop):
    with httpx.Client(timeout=60) as client:
        while not stop.is_set():
            response = client.post(f"{url}/classify", content=picture, headers={"content-type": "image/jpeg"})
            seen.statuses[response.status_code] += 1
            if response.status_code == 200:
                seen.models.append((response.json()["model"], response.json()["fallback"]))


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_no_request_fails_when_the_first_models_process_is(chain, coffee, tmp_path, harm):
    seen, stop = Seen(), threading.Event()
    callers = [threading.Thread(target=keep_asking, args=(chain, coffee, seen, stop)) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        wait_for(lambda: len(seen.models) >= 3)
        assert set(seen.models) == {(FIRST, False)}
        process = stub_of(FIRST, tmp_path / "triton.log")
        process.send_signal(harm)
        # Callers that were waiting for a stalled model give it its share of their deadline, then go on.
        wait_for(lambda: seen.models[-3:] == [(SECOND, True)] * 3, 60)
        wait_for(lambda: not models(chain).get(FIRST, {"ready": True})["ready"], 60)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        if harm == signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
    assert set(seen.statuses) == {200}
    metrics = httpx.get(f"{chain}/metrics", timeout=60).text
    assert f'modelport_fallbacks_total{{cause="not ready",model="{FIRST}",service="classifier"}}' in metrics
