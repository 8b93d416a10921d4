"""The classifier's chain under load: its first model's process is killed, or stalled, and no request fails."""

import re
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest
from processes import STUB, matching
from transformer import serving
from waiting import wait_for

from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

FIRST, SECOND = "wide_resnet50_2", "mobilenet_v2"


@dataclass
class Seen:
    """What callers saw."""

    statuses: Counter = field(default_factory=Counter)
    models: list[tuple[str, bool]] = field(default_factory=list)


@pytest.fixture
def chain(exported, repository, free_ports, tmp_path):
    """A Triton with two classifiers, and a transformer whose chain they are; yields its URL and Triton's port."""
    ports = free_ports(5)
    settings = TritonSettings(repository, tmp_path / "triton.log", *ports[:3], models=(FIRST, SECOND))
    triton, url = TritonServer(lay_out(), settings), f"http://127.0.0.1:{ports[3]}"
    options = [f"--service=classifier=classification:{FIRST},{SECOND}", f"--model_repository={repository}"]
    options.append(f"--predictor_host=127.0.0.1:{ports[0]}")
    triton.start()
    try:
        with serving(tmp_path / "transformer.log", ports[3:], *options):
            triton.wait_until_ready()
            wait_for(lambda: all(model["ready"] for model in models(url).values()))
            yield url, ports[0]
    finally:
        triton.stop()


def models(url):
    try:
        report = httpx.get(f"{url}/v2/health/ready", timeout=10).json()
    except httpx.HTTPError:
        return {"server": {"ready": False}}
    return report["services"]["classifier"]["models"]


def keep_asking(url, image, seen, stop):
    with httpx.Client(timeout=60) as client:
        while not stop.is_set():
            response = client.post(f"{url}/classify", content=image, headers={"content-type": "image/jpeg"})
            seen.statuses[response.status_code] += 1
            if response.status_code == 200:
                seen.models.append((response.json()["model"], response.json()["fallback"]))


def fallbacks(url):
    """How often the first model was passed over because it was not ready."""
    metrics = httpx.get(f"{url}/metrics", timeout=60).text
    (line,) = re.findall(rf'modelport_fallbacks_total{{cause="not ready",model="{FIRST}",.* (\S+)', metrics)
    return float(line)


@pytest.mark.parametrize("harm", [signal.SIGSTOP, signal.SIGKILL], ids=["stalled", "killed"])
def test_no_request_fails_when_the_first_models_process_is(chain, coffee, harm):
    url, triton_port = chain
    seen, stop, before = Seen(), threading.Event(), fallbacks(url)
    callers = [threading.Thread(target=keep_asking, args=(url, coffee, seen, stop)) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        wait_for(lambda: seen.models.count((FIRST, False)) >= 3)
        (process,) = matching(STUB, f"/{FIRST}/", f"-{triton_port}-")
        process.send_signal(harm)
        # Callers that were waiting for a stalled model give it its share of their deadline, then go on.
        wait_for(lambda: seen.models[-3:] == [(SECOND, True)] * 3)
        wait_for(lambda: not models(url).get(FIRST, {"ready": True})["ready"])
        wait_for(lambda: fallbacks(url) > before)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        if harm == signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
    assert set(seen.statuses) == {200}
