"""What an overlay declares is what runs: its transformers, and a real Envoy that shares and falls back as it says."""

import contextlib
import signal
import threading
from collections.abc import Sequence

import httpx
import psutil
import pytest
from processes import STUB, TRANSFORMER, matching
from waiting import wait_for

from kserve_transformers.service_spec import ServiceSpec
from modelport.manifests.rendering import serving
from modelport.services import load
from modelport.stack.overlay_stack import OverlayStack
from modelport.stack.stack import export_missing


@pytest.fixture
def run_overlay(overlay_settings):
    """Starts overlays on free ports, as `make serve OVERLAY=name` does."""
    with contextlib.ExitStack() as started:

        def run(overlay: str, *services: str) -> OverlayStack:
            settings = overlay_settings(overlay, services)
            export_missing(settings)
            stack = OverlayStack(settings)
            started.callback(stack.stop, signal.SIGINT)
            stack.start()
            return stack

        yield run


def test_no_request_fails_when_the_primary_predictor_or_its_models_process_does(run_overlay, coffee):
    stack = run_overlay("fallback", "classifier")
    chains = {p.name: ServiceSpec.parse(at_flag(p.arguments, "--service")).models for p in stack.declared.predictors}
    primary, light = chains["classifier"], chains["classifier-light"]
    assert not set(primary) & set(light)

    seen: list[tuple[int, str]] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{stack.settings.http_port}", timeout=60) as client:
            while not over.is_set():
                response = client.post("/classifier/classify", content=coffee, headers={"content-type": "image/jpeg"})
                seen.append((response.status_code, response.json().get("model")))

    def wait_for_primary() -> None:
        start = len(seen)
        wait_for(lambda: stack.check() or sum(model in primary for _, model in seen[start:]) >= 10)

    def kill(process: psutil.Process) -> None:
        """Kill it, and wait until the last answers are the light predictor's."""
        process.kill()
        killed = len(seen)
        wait_for(lambda: len(seen) >= killed + 30)
        assert {model for _, model in seen[-20:]} <= set(light)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        wait_for_primary()
        (transformer,) = matching(TRANSFORMER, f"--http_port={stack.transformers[0].http_port}")
        kill(transformer)
        wait_for_primary()
        (stub,) = matching(STUB, f"/{primary[0]}/", f"-{stack.settings.triton_http_port}-")
        kill(stub)
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert {status for status, _ in seen} == {200}


@pytest.mark.parametrize("overlay", serving())
def test_what_an_overlay_declares_reaches_its_processes(overlay, overlay_settings, tmp_path):
    stack = OverlayStack(overlay_settings(overlay, tuple(load())))
    assert {predictor.endpoint for predictor in stack.declared.predictors} >= set(load())
    for predictor, transformer in zip(stack.declared.predictors, stack.transformers, strict=True):
        assert {"--request_timeout_s=30", "--drain_s=5"} <= set(predictor.arguments)
        declared = predictor.transformer(tmp_path, 1, 2).declared
        assert len(declared) == len(predictor.arguments)
        assert all(one.startswith("--record=") for one in set(declared) - set(predictor.arguments))
        assert transformer.name == predictor.name
    ports = [server.http_port for server in stack.servers]
    assert len(set(ports)) == len(ports)


def at_flag(arguments: Sequence[str], name: str) -> str:
    (value,) = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{name}=")]
    return value
