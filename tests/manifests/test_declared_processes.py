"""The commands, ports and probes in the YAML, with the real Triton and the real transformer."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import psutil


def test_probes_say_what_is_so_from_start_to_end(detector_pod: Any, pictures: Path) -> None:
    pod, port = detector_pod.pod, detector_pod.ports[8080]
    triton, transformer = pod.triton, pod.transformer

    assert detector_pod.wait_for(transformer, "livenessProbe", True, seconds=20)
    assert detector_pod.wait_for(triton, "startupProbe", True, seconds=60)
    assert detector_pod.wait_for(transformer, "readinessProbe", True, seconds=20)
    for container in (triton, transformer):
        assert all(detector_pod.probe(container, kind) for kind in ("startupProbe", "readinessProbe", "livenessProbe"))

    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/models/detector:predict",
        content=(pictures / "coffee.jpg").read_bytes(),
        headers={"content-type": "image/jpeg"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert "predictions" in json.loads(answer.text)

    # a backend process that is dead: Triton calls itself ready, the declared probes do not
    stubs = [p for p in psutil.process_iter(["name"]) if _is_stub_of(p, detector_pod.triton.log_file)]
    assert stubs
    for stub in stubs:
        stub.kill()
    assert detector_pod.wait_for(transformer, "readinessProbe", False, seconds=15)
    assert not detector_pod.probe(triton, "livenessProbe")
    assert detector_pod.probe(transformer, "livenessProbe")
    detector_pod.triton.stop()
    detector_pod.triton.start()  # as the kubelet restarts a container
    assert detector_pod.wait_for(transformer, "readinessProbe", True, seconds=60)


def test_the_pod_ends_within_its_grace_period_and_triton_outlives_the_drain(detector_pod: Any) -> None:
    pod = detector_pod.pod
    assert detector_pod.wait_for(pod.transformer, "readinessProbe", True, seconds=80)
    started = time.monotonic()
    detector_pod.transformer.stop(signal.SIGTERM)
    took = time.monotonic() - started
    assert detector_pod.transformer.exit_code() == 0
    assert 5 <= took < pod.triton["lifecycle"]["preStop"]["sleep"]["seconds"]
    detector_pod.triton.stop(signal.SIGTERM)
    assert time.monotonic() - started < pod.predictor["terminationGracePeriodSeconds"]


def _is_stub_of(process: psutil.Process, log_file: Path) -> bool:
    try:
        return "triton_python_backend_stub" in process.name() and str(log_file) in {
            str(Path(f"/proc/{process.pid}/fd/1").resolve())
        }
    except (psutil.Error, OSError):
        return False
