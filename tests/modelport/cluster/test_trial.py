"""What is said of lost requests, and of pods that are not ready."""

import asyncio
import base64
import http.server
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from modelport.cluster import caller, entries
from modelport.cluster.checks import batches, entrance
from modelport.cluster.entries import Entry
from modelport.cluster.kubectl import wait_until
from modelport.cluster.pods import explain
from modelport.cluster.relocation import Fit
from modelport.cluster.trial import BrokenPromiseError, Traffic, Trial
from modelport.manifests.cluster import ClusterError
from modelport.measure.generator.caller import Caller
from modelport.measure.generator.load import Load
from modelport.measure.generator.requests import Request


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ({"200": 40, "503": 2, "cut": 1}, "of 43 requests: 2 x 503, 1 x cut"),
        ({"503": 2}, "of 2 requests: 2 x 503"),
        ({}, "of 0 requests: no answer at all"),
    ],
)
def test_lost_requests_are_counted_by_outcome(outcomes, message):
    with pytest.raises(BrokenPromiseError) as caught:
        Traffic(Counter(outcomes)).require_none_lost()
    assert str(caught.value) == message


def test_requests_that_were_all_answered():
    assert Traffic(Counter({"200": 40})).require_none_lost() == "40 of 40 requests answered"


class Listed:
    """A cluster with the pods and events of one namespace."""

    def __init__(self, pods: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
        self.found = {"pod": pods, "event": events}

    def items(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        return self.found[kind]


def pod(name: str, ready: str, state: dict[str, Any], **conditions: str) -> dict[str, Any]:
    told = [{"type": "Ready", "status": ready}]
    told += [{"type": kind, "status": "False", "message": text} for kind, text in conditions.items()]
    container = {"name": "transformer-container", "ready": ready == "True", "state": state}
    return {
        "metadata": {"name": name},
        "status": {"conditions": told, "containerStatuses": [container], "phase": "Pending"},
    }


def test_pods_that_are_not_ready_are_explained_with_the_latest_warnings():
    pods = [
        pod("good", "True", {"running": {}}),
        pod("pulls", "False", {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}),
        pod("waits", "False", {}, PodScheduled="0/1 nodes are available: Insufficient cpu."),
        pod("loads", "False", {"running": {"startedAt": "now"}}),
    ]
    events = [
        {"type": "Normal", "reason": "Pulled", "message": "fine", "involvedObject": {"name": "good"}},
        {
            "type": "Warning",
            "reason": "Failed",
            "message": "later",
            "involvedObject": {"name": "pulls"},
            "lastTimestamp": "2",
        },
        {
            "type": "Warning",
            "reason": "Failed",
            "message": "first",
            "involvedObject": {"name": "pulls"},
            "lastTimestamp": "1",
        },
    ]
    assert explain(Listed(pods, events), "test").split("; ") == [  # type: ignore[arg-type]
        "pod pulls is not ready (transformer-container: ImagePullBackOff no such tag)",
        "pod waits is not ready (0/1 nodes are available: Insufficient cpu.)",
        "pod loads is not ready (Pending)",
        "pulls: Failed: first",
        "pulls: Failed: later",
    ]


def test_waiting_ends_with_what_was_waited_for_and_why_it_did_not_come():
    assert wait_until(lambda: 7, "it", 0) == 7
    with pytest.raises(ClusterError, match="digits is Ready: not within 0 s: no room"):
        wait_until(lambda: False, "digits is Ready", 0, lambda: "no room")


@contextmanager
def echoing(context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Echo(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(201)
            self.send_header("X-Seen", self.headers["x-sent"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()


def posted(url: str, **more: Any) -> dict[str, Any]:
    return caller.send({"url": f"{url}/a?b=1", "method": "POST", "headers": {"x-sent": "me"}, "body": "AAEC", **more})


def test_the_caller_sends_and_returns_what_it_got():
    with echoing() as url:
        answer = posted(url)
        assert posted(url, padded_to=5)["body"] == "AAECICA="
    assert (answer["status"], answer["body"], answer["headers"]["x-seen"]) == ("201", "AAEC", "me")
    lost = caller.send({"url": "http://127.0.0.1:1/"})
    assert lost["status"] == "unreachable"
    assert "refused" in lost["error"]


def test_the_caller_verifies_certificates_and_the_load_generator_does_not(tmp_path, monkeypatch):
    context, issuer, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA(), tmp_path / "authority.pem"
    issuer.issue_cert("127.0.0.1").configure_cert(context)
    issuer.cert_pem.write_to_path(str(authority))
    with echoing(context) as url:
        refused = posted(url)
        assert (refused["status"], "certificate verify failed" in refused["error"]) == ("unreachable", True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert posted(url)["body"] == "AAEC"
        monkeypatch.delenv("SSL_CERT_FILE")
        sent = Request("/", b"body", {"x-sent": "me"})
        assert asyncio.run(Caller(url, keep_alive=False).send(sent)).outcome == "201"


@pytest.mark.parametrize(
    ("state", "revisions", "out"),
    [
        pytest.param({}, ["2"], True, id="the newest alone"),
        pytest.param({}, [], True, id="no pod is needed"),
        pytest.param({}, ["1", "2"], False, id="the former has ready pods"),
        pytest.param({"latestCreatedRevisionName": "3"}, ["2"], False, id="a newer is not ready"),
        pytest.param({"observedGeneration": 4}, ["2"], False, id="a change was not seen yet"),
        pytest.param(None, [], False, id="nothing is there"),
    ],
)
def test_a_revision_of_knative_is_rolled_out_when_it_is_the_newest_and_alone(state, revisions, out):
    seen = {"observedGeneration": 5, "latestCreatedRevisionName": "2", "latestReadyRevisionName": "2"}
    service = None if state is None else {"metadata": {"generation": 5}, "status": {**seen, **state}}
    trial = Trial.__new__(Trial)
    trial.fit = Fit("test-1")
    annotations = {"serving.kserve.io/deploymentMode": "Knative"}
    trial.documents = [{"kind": "InferenceService", "metadata": {"name": "digits", "annotations": annotations}}]
    is_ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    pods = [
        {"metadata": {"name": one, "labels": {"serving.knative.dev/revision": one}}, "status": is_ready}
        for one in revisions
    ]
    trial.cluster = SimpleNamespace(get=lambda *_: service, items=lambda *_: pods)  # type: ignore[assignment]
    assert trial.rolled_out("digits") == out


@pytest.mark.parametrize(("limit", "think_s"), [(0, 0.0), (50, 0.16)])
def test_traffic_stays_below_the_limit_of_the_gateway(limit, think_s, monkeypatch):
    """Two callers that wait for half of 0.16 s at least send 25 requests a second at most."""
    trial, begun = Trial.__new__(Trial), list[Load]()
    rules = [{"limit": {"requests": limit}}] if limit else []
    trial.documents = [{"kind": "BackendTrafficPolicy", "spec": {"rateLimit": {"local": {"rules": rules}}}}]
    trial.samples = {"digits": SimpleNamespace(requests={"V1": {"path": "/", "body": "", "headers": {}}})}  # type: ignore[dict-item]
    monkeypatch.setattr(trial, "entry", lambda name: Entry(entries.SERVICE, "http://a"), raising=False)
    trial.caller = SimpleNamespace(begin=lambda url, load: begun.append(load), end=lambda file: Counter())  # type: ignore[assignment]
    with trial.traffic("digits"):
        pass
    assert begun[0].think_s == think_s


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        pytest.param(("200", "413"), "20971520 bytes: 5; one more: 413", id="as the services"),
        pytest.param(("413", "413"), "a body of 20971520 bytes: 413", id="a lower limit"),
        pytest.param(("200", "200"), "a body of 20971521 bytes: 200", id="no limit"),
    ],
)
def test_an_entrance_passes_the_bodies_that_the_services_accept(statuses, said):
    body = base64.b64encode(b'{"predictions": [{"predicted_digit": 5, "confidence": 1.0}]}').decode()
    trial = Trial.__new__(Trial)
    trial.entry = lambda name: Entry(entries.INGRESS, "http://a")  # type: ignore[method-assign]
    trial.samples = {"digits": SimpleNamespace(requests={"V1": {"path": "/", "body": "", "headers": {}}})}  # type: ignore[dict-item]
    trial.caller = SimpleNamespace(send=lambda _: [{"status": one, "body": body} for one in statuses])  # type: ignore[assignment]
    try:
        found = entrance._large_bodies(trial, "digits")
    except BrokenPromiseError as error:
        found = str(error)
    assert said in found


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param({"part-0.parquet": ["a", "b"], "part-1.parquet": ["c"]}, "3 images, each once, in 2", id="once"),
        pytest.param({"part-0.parquet": ["a", "a", "b", "b"], "part-1.parquet": ["c", "c"]}, "3 images", id="boxes"),
        pytest.param({"part-0.parquet": ["a", "b"], "errors-0.parquet": ["c"]}, "2 of 3", id="an error is no result"),
        pytest.param({"part-0.parquet": ["a", "b"], "part-1.parquet": ["c", "a"]}, "1 of them twice", id="two parts"),
        pytest.param({"part-0.parquet": ["a", "b", "b", "c"]}, "1 of them twice", id="twice in one part"),
    ],
)
def test_a_batch_has_each_image_once(parts, said, monkeypatch):
    monkeypatch.setattr(batches, "IMAGES", 3)
    try:
        found = batches.require_each_once(parts)
    except BrokenPromiseError as error:
        found = str(error)
    assert said in found


def test_no_container_no_signal():
    with pytest.raises(ProcessLookupError):
        caller.signal_container(0, "no-such-container")
