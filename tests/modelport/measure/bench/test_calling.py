"""The calling process against a real HTTP server that is known to take some time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelport.measure.bench.cases import Request
from modelport.measure.bench.measuring import Load, call

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
    for _ in range(5):  # a machine that stalls may spoil some of them
        report = call(port, Load("raw body", Request("/good", b"x", {}), 4, 0.5))
        assert min(report["latencies_s"]) >= SLEEP_S
        # Little: as many are under way as there are connections
        under_way = sum(report["latencies_s"]) / report["seconds"]
        if under_way == pytest.approx(4, rel=0.2):
            break
    assert under_way == pytest.approx(4, rel=0.2)
    assert report["stages_ms"] == pytest.approx({"infer": 20.0, "queue": 1.5})
    assert report["failed"] == {}
    assert report["pace_ms"] > 0


@pytest.mark.parametrize("path", ["/bad", "/closing"])
def test_refusals_are_counted_apart_whether_or_not_the_server_closes(port, path):
    report = call(port, Load("raw body", Request(path, b"x", {}), 2, 0.2))
    assert report["latencies_s"] == []
    assert set(report["failed"]) == {"503"}
    assert report["failed"]["503"] >= 1
