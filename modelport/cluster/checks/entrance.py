"""A gateway or an Ingress passes large bodies and slow answers on, and says 503 where a service is stopped."""

from __future__ import annotations

import base64
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from kserve_transformers.settings import Limits
from modelport.cluster import answers, entries
from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.stopping import STOP, annotate

SLOW_S = 20.0  # longer than the 15 s for which Envoy waits where nothing else is declared
CLOSED_S = 120.0


def _large_bodies(trial: Trial, service: str) -> str:
    """The largest body that the services accept is answered, and one byte more is refused with 413."""
    limit, entry, request = Limits().body_bytes, trial.entry(service), trial.samples[service].requests["V1"]
    sent = {**request, "url": entry.url + request["path"], "headers": {**request["headers"], **entry.headers}}
    largest, larger = trial.caller.send([sent | {"padded_to": size} for size in (limit, limit + 1)])
    try:
        best = answers.judge(largest, "V1")
    except ValueError as error:
        raise BrokenPromiseError(f"a body of {limit} bytes: {error}") from error
    if larger["status"] != "413":
        raise BrokenPromiseError(f"a body of {limit + 1} bytes: {larger['status']} {larger.get('error', '')}, not 413")
    return f"{limit} bytes: {best.label}; one more: 413"


def _slow_answer(trial: Trial, service: str) -> str:
    """A request that waits for a stopped Triton is answered when that goes on."""
    entry, began = trial.entry(service), time.monotonic()
    pods = trial.pods(service)
    with ThreadPoolExecutor(1) as pool:
        for pod in pods:
            trial.signal(pod, signal.SIGSTOP)
        try:
            sent = pool.submit(trial.send, entry, service, "V1")
            time.sleep(SLOW_S)
            early = sent.done()
        finally:
            for pod in pods:
                trial.signal(pod, signal.SIGCONT)
        answer = sent.result()
    took = time.monotonic() - began
    if early or answer["status"] != "200":
        body = base64.b64decode(answer["body"]).decode(errors="replace")[:200]
        raise BrokenPromiseError(f"{answer['status']} {answer.get('error', body)} after {took:.0f} s")
    return f"200 after {took:.0f} s"


def _stopped(trial: Trial, service: str) -> str:
    """Without a pod the answer is 503, by a gateway with Retry-After; the Ingress API cannot set a header."""
    entry = trial.entry(service)
    request = {"url": f"{entry.url}/v2/models/{service}", "headers": entry.headers}

    def send() -> dict[str, object]:
        (answer,) = trial.caller.send([request])
        return answer

    annotate(service, trial.namespace, f"{STOP}=true")
    try:
        wait_until(lambda: not trial.pods(service, ready=False), "the pods are gone", READY_TIMEOUT_S, trial.explain)
        wait_until(lambda: send()["status"] == "503", "requests get 503", CLOSED_S, lambda: str(send()))
        told = send()
    finally:
        annotate(service, trial.namespace, f"{STOP}-")
    headers = told["headers"]
    promised = entry.kind == entries.GATEWAY
    if promised and (not isinstance(headers, dict) or "retry-after" not in headers):
        raise BrokenPromiseError(f"503 without Retry-After: {told}")
    trial.wait_ready()
    wait_until(lambda: send()["status"] == "200", "requests are answered again", CLOSED_S, lambda: str(send()))
    return f"503{' with Retry-After' if promised else ''} without pods, 200 with them"


def _no_entrance(trial: Trial, service: str) -> str:
    first = entries.entries(trial.documents, service, trial.namespace)[0]
    return "" if first.kind in (entries.GATEWAY, entries.INGRESS) and not trial.splits(service) else NOT_PROMISED


CHECKS = (
    Check("large-bodies", "the largest accepted body passes", _large_bodies, _no_entrance, keeps=True),
    Check("slow-answer", "an answer that takes long passes", _slow_answer, _no_entrance),
    Check("stopped", "without pods callers get 503", _stopped, _no_entrance),
)
