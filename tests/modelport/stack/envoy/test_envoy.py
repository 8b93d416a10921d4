"""A real Envoy, configured from rendered overlays, splits canaries and falls back as the YAML says."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from waiting import wait_for

from modelport.manifests.rendering import render
from modelport.stack.errors import StartError

CLASSIFY, DETECT = "/v1/models/classifier:predict", "/v1/models/detector:predict"
IMAGE = b"\xff" * 2_000_000


def post(port: int, path: str, body: bytes) -> tuple[int, str]:
    """Status and body of one request on a connection of its own."""
    answer = httpx.post(f"http://127.0.0.1:{port}{path}", content=body, timeout=60)
    return answer.status_code, answer.text


def many(port: int, path: str, body: bytes, count: int, at_once: int = 8) -> Counter[tuple[int, str]]:
    """How often each status and body came back."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client, ThreadPoolExecutor(at_once) as pool:
        answers = pool.map(lambda _: client.post(path, content=body), range(count))
        return Counter((answer.status_code, answer.text) for answer in answers)


@pytest.mark.parametrize("overlay", ["canary-standard", "canary-knative"])
def test_a_thousand_requests_are_split_as_the_release_file_says(overlay, run_overlay):
    routed = run_overlay(overlay)
    answers = many(routed.port, DETECT, b"image", 1000)
    assert set(answers) == {(200, "detector 5"), (200, "detector-canary 5")}
    assert 52 <= answers[200, "detector-canary 5"] <= 148  # 10 per cent; five standard deviations are 48
    assert many(routed.port, "/cars/predict", b"image", 20) == {(200, "cars 5"): 20}


def test_each_path_reaches_its_service(run_overlay):
    routed = run_overlay("gateway")
    for service in ("detector", "classifier", "cars", "digits", "anomaly"):
        for path in (f"/{service}/predict", f"/v1/models/{service}:predict", f"/v2/models/{service}/infer"):
            assert post(routed.port, path, b"") == (200, f"{service} 0")
    assert post(routed.port, "/carsharing", b"")[0] == 404


@pytest.mark.parametrize("fault", ["500", "reset", "hang", "gone"])
def test_no_request_fails_when_the_primary_pods_do(fault, run_overlay):
    routed = run_overlay("fallback")
    primary = routed.pods["classifier"]
    before = many(routed.port, CLASSIFY, IMAGE, 20)
    if fault == "gone":
        primary.vanish()
    else:
        primary.behaviour = fault
    after = many(routed.port, CLASSIFY, IMAGE, 60, at_once=16)
    assert before == {(200, "classifier 2000000"): 20}
    assert after == {(200, "classifier-light 2000000"): 60}


def test_no_request_fails_when_the_primary_pods_vanish_under_load(run_overlay):
    routed = run_overlay("fallback")
    routed.pods["classifier"].answers = 20
    answers = many(routed.port, CLASSIFY, IMAGE, 300, at_once=16)
    assert set(answers) == {(200, "classifier 2000000"), (200, "classifier-light 2000000")}
    assert answers.total() == 300


def test_without_the_declared_buffer_images_fail(run_overlay, monkeypatch):
    monkeypatch.setattr("modelport.stack.envoy.server.buffer_bytes", lambda _: 32 * 1024)
    routed = run_overlay("fallback")
    routed.pods["classifier"].behaviour = "500"
    assert post(routed.port, CLASSIFY, b"small") == (200, "classifier-light 5")
    assert post(routed.port, CLASSIFY, IMAGE)[0] == 500


def test_no_request_fails_while_routes_move_to_other_endpoints_and_shares(run_overlay):
    routed = run_overlay("canary-standard")
    rendered = render("canary-standard")
    alone = json.loads(json.dumps(rendered))
    del next(d for d in alone if d["metadata"]["name"] == "detector" and d["kind"] == "InferenceService")["spec"][
        "canary"
    ]
    addresses = {name: ("127.0.0.1", pod.server_address[1]) for name, pod in routed.pods.items()}
    moved = {**addresses, "detector": addresses["detector-canary"]}
    seen: Counter[tuple[int, str]] = Counter()
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{routed.port}", timeout=60) as client:
            while not over.is_set():
                answer = client.post(DETECT, content=b"image")
                seen[answer.status_code, answer.text] += 1

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(5):
            for target, there in (("detector-canary", moved), ("detector", addresses)):
                routed.envoy.move(alone, there)
                # Envoy's threads take the new routes one after another
                wait_for(lambda only={(200, f"{target} 0"): 20}: many(routed.port, DETECT, b"", 20) == only)
            routed.envoy.move(rendered, addresses)
        wait_for(lambda: seen.total() > 100 and len(seen) > 1)
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert set(seen) == {(200, "detector 5"), (200, "detector-canary 5")}


def test_routes_that_envoy_refuses_change_nothing(run_overlay, monkeypatch):
    routed = run_overlay("canary-standard")
    monkeypatch.setattr("modelport.stack.envoy.server.MOVE_TIMEOUT_S", 1.0)
    with pytest.raises(StartError, match="did not take other routes"):
        routed.envoy.move(render("canary-standard"), dict.fromkeys(routed.pods, ("127.0.0.1", 99999)))
    assert many(routed.port, "/cars/predict", b"image", 20) == {(200, "cars 5"): 20}
