"""Retries, and their end, against a server with scripted answers."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kserve_transformers.client.service import RequestError, Service

BUSY = (429, {"retry-after": "0"}, {"error": "busy"})
GOOD = (200, {}, {"predictions": [{"x": 1}]})


@contextlib.contextmanager
def answering(*answers) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers one after the other, the last one for ever; and the bodies it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            status, headers, document = answers[min(len(bodies), len(answers)) - 1]
            body = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def ask(url: str) -> object:
    with Service(url, "digits", 5, 1) as service:
        return service.predict_image(b"picture")


def test_a_busy_server_is_asked_again():
    with answering(BUSY, (503, {"retry-after": "0"}, {"error": "not ready"}), GOOD) as (url, bodies):
        assert ask(url) == {"x": 1}
    assert bodies == [b"picture"] * 3


def test_not_beyond_the_deadline():
    with (
        answering((429, {"retry-after": "30"}, {"error": "busy"})) as (url, bodies),
        pytest.raises(RequestError, match="429 busy"),
    ):
        ask(url)
    assert len(bodies) == 1


def test_other_errors_are_final():
    with (
        answering((415, {}, {"error": "not a picture"}), GOOD) as (url, bodies),
        pytest.raises(RequestError, match="415 not a picture"),
    ):
        ask(url)
    assert len(bodies) == 1


def test_windows_go_in_parts():
    answers = [(200, {}, {"predictions": [{"n": 0}, {"n": 1}]}), (200, {}, {"predictions": [{"n": 2}]})]
    with answering(*answers) as (url, bodies), Service(url, "anomaly", 20, 1) as service:
        assert service.predict_windows([[1.0]] * 3, at_once=2) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [len(json.loads(body)["instances"]) for body in bodies] == [2, 1]


def test_nobody_there(free_ports):
    (port,) = free_ports(1)
    with (
        Service(f"http://127.0.0.1:{port}", "digits", 5, 1) as service,
        pytest.raises(RequestError, match="ConnectError"),
    ):
        service.window_length()
