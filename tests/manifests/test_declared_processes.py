"""The commands, ports and probes in the YAML, with the real Triton and the real transformer."""

import json
import re
import signal
import time
from typing import Any

import httpx
from processes import STUB, matching

Documents = list[dict[str, Any]]


def test_probes_say_what_is_so_from_start_to_end(detector_pod, images, rendered):
    pod, port = detector_pod.pod, detector_pod.ports[8080]
    triton, transformer = pod.triton, pod.transformer

    assert detector_pod.wait_for(transformer, "livenessProbe", True)
    assert detector_pod.wait_for(triton, "startupProbe", True)
    assert detector_pod.wait_for(transformer, "readinessProbe", True)
    for container in (triton, transformer):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert detector_pod.wait_for(container, kind, True)

    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/models/detector:predict",
        content=(images / "coffee.jpg").read_bytes(),
        headers={"content-type": "image/jpeg"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert "predictions" in json.loads(answer.text)

    # what alerts, dashboard and KEDA ask for exists on the ports that are scraped
    asked = re.findall(r"\b((?:modelport|nv)_[a-z0-9_]+)", str([*rendered("monitoring"), *rendered("keda")]))
    ports = (detector_pod.ports[8080], detector_pod.ports[8002])
    told = "".join(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text for port in ports)
    assert len(set(asked)) >= 8
    assert {name for name in asked if not re.search(rf"(?m)^(# TYPE )?{name}\b", told)} == set()

    # a backend process that is dead: Triton calls itself ready, the declared probes do not
    stubs = matching(STUB, f"-{detector_pod.ports[8000]}-")
    assert stubs
    for stub in stubs:
        stub.kill()
    assert detector_pod.wait_for(transformer, "readinessProbe", False)
    assert detector_pod.wait_for(triton, "livenessProbe", False)
    assert detector_pod.wait_for(transformer, "livenessProbe", True)
    detector_pod.triton.stop()
    detector_pod.triton.start()  # as the kubelet restarts a container
    assert detector_pod.wait_for(transformer, "readinessProbe", True)


def test_the_pod_ends_within_its_grace_period_and_triton_outlives_the_drain(detector_pod):
    pod = detector_pod.pod
    declared = dict(one.partition("=")[::2] for one in pod.transformer_arguments())
    drain_s, request_s = float(declared["--drain_s"]), float(declared["--request_timeout_s"])
    assert detector_pod.wait_for(pod.transformer, "readinessProbe", True)
    started = time.monotonic()
    detector_pod.transformer.stop(signal.SIGTERM)
    assert time.monotonic() - started >= drain_s
    assert detector_pod.transformer.exit_code() == 0
    longest_s = pod.triton["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert drain_s + request_s < longest_s < pod.predictor["terminationGracePeriodSeconds"]
