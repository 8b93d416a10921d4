"""A measurement of a real HTTP server whose answers take a known time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelport.measure.bench.measuring import Load, call
from modelport.measure.generator.requests import Request

SLEEP_S = 0.02


class Slow(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(SLEEP_S)
        self.send_response(200 if self.path == "/good" else 503)
        self.send_header("content-length", "2")
        self.send_header("server-timing", "infer;dur=20.0, queue;dur=1.5")
        if self.path == "/closing":
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_answers_are_timed_and_their_stages_kept(port):
    report = call(port, Load("raw body", Request("/good", b"x", {}), 4, 0.5))
    assert min(report.latencies_s) >= SLEEP_S
    assert report.seconds >= 0.5
    # Four callers without pauses: on average four requests are under way (Little's law), never more.
    assert 0 < sum(report.latencies_s) / (report.seconds + max(report.latencies_s)) <= 4.01
    assert report.stages_ms == pytest.approx({"infer": 20.0, "queue": 1.5})
    assert report.failed == {}
    assert report.pace_ms > 0
    assert report.own_s > 0


@pytest.mark.parametrize("path", ["/bad", "/closing"])
def test_refusals_are_counted_apart_whether_or_not_the_server_closes(port, path):
    report = call(port, Load("raw body", Request(path, b"x", {}), 2, 0.2))
    assert report.latencies_s == []
    assert set(report.failed) == {"503"}
    assert report.failed["503"] >= 1
