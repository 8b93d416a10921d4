"""What is said of lost requests, and of pods that are not ready."""

from __future__ import annotations

import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from modelport.cluster import caller
from modelport.cluster.kubectl import wait_until
from modelport.cluster.pods import explain
from modelport.cluster.trial import BrokenPromiseError, Traffic
from modelport.manifests.cluster import ClusterError


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ({"200": 40, "503": 2, "cut": 1}, "of 43 requests: 2 x 503, 1 x cut"),
        ({"503": 2}, "of 2 requests: 2 x 503"),
        ({}, "of 0 requests: no answer at all"),
    ],
)
def test_lost_requests_are_counted_by_outcome(outcomes: dict[str, int], message: str) -> None:
    with pytest.raises(BrokenPromiseError) as caught:
        Traffic(Counter(outcomes)).require_none_lost()
    assert str(caught.value) == message


def test_requests_that_were_all_answered() -> None:
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


def test_pods_that_are_not_ready_are_explained_with_the_latest_warnings() -> None:
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


def test_waiting_ends_with_what_was_waited_for_and_why_it_did_not_come() -> None:
    assert wait_until(lambda: 7, "it", 0) == 7
    with pytest.raises(ClusterError, match="digits is Ready: not within 0 s: no room"):
        wait_until(lambda: False, "digits is Ready", 0, lambda: "no room")


@pytest.fixture
def url() -> Iterator[str]:
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
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_caller_sends_and_returns_what_it_got(url: str) -> None:
    sent = {"url": f"{url}/a?b=1", "method": "POST", "headers": {"x-sent": "me"}, "body": "AAEC"}
    answer = caller.send(sent)
    assert (answer["status"], answer["body"], answer["headers"]["x-seen"]) == ("201", "AAEC", "me")
    lost = caller.send({"url": "http://127.0.0.1:1/"})
    assert lost["status"] == "unreachable"
    assert "refused" in lost["error"]


def test_no_container_no_signal() -> None:
    with pytest.raises(ProcessLookupError):
        caller.signal_container(0, "no-such-container")
