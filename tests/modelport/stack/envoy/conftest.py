"""Small real servers in place of pods, which answer with their name, or fail in a way that a test names."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelport.manifests.rendering import MANIFESTS, render
from modelport.stack.envoy.routes import endpoints, read_routes
from modelport.stack.envoy.server import Envoy
from modelport.stack.server import free_ports

HANG_S = 60


class PodServer(ThreadingHTTPServer):
    """One endpoint. `behaviour`: answer, 500, hang, reset. `answers` more it gives before it vanishes; None: no end."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str) -> None:
        self.name, self.behaviour = name, "answer"
        self.answers: int | None = None
        self.ids: list[str] = []  # of the requests
        self._counting = threading.Lock()
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Pod)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def vanish(self) -> None:
        """Nobody listens any more, and connections that were kept are of no use."""
        self.behaviour = "reset"
        self.over.set()
        self.shutdown()
        self.server_close()

    def count(self) -> None:
        """One answer was given: after the last one it vanishes, by a thread of its own, since that waits for others."""
        with self._counting:
            if self.answers is None:
                return
            self.answers -= 1
            last = self.answers == 0
        if last:
            threading.Thread(target=self.vanish).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that gives up on a hanging pod closes the connection: no news."""


class _Pod(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PodServer

    def do_POST(self) -> None:
        if self.server.behaviour == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        length = len(self.rfile.read(int(self.headers["content-length"])))
        self.server.ids.append(self.headers["x-request-id"])
        if self.server.behaviour == "hang":
            self.server.over.wait(HANG_S)
        body = f"{self.server.name} {length}".encode()
        self.send_response(500 if self.server.behaviour == "500" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.count()

    def log_message(self, *_: Any) -> None:
        pass


class Routed:
    """An overlay that runs: Envoy in front of a server for each endpoint."""

    def __init__(self, envoy: Envoy, pods: dict[str, PodServer], port: int) -> None:
        self.envoy, self.pods, self.port = envoy, pods, port


@pytest.fixture(scope="module")
def run_overlay(tmp_path_factory) -> Iterator[Callable[..., Routed]]:
    """Starts an overlay's Envoy and pods, which live as long as the test module."""
    with ExitStack() as stack:

        def run(overlay: str, manifests: Path = MANIFESTS) -> Routed:
            documents = render(overlay, manifests)
            pods = {name: PodServer(name) for name in endpoints(read_routes(documents))}
            ports = free_ports(2)
            folder: Path = tmp_path_factory.mktemp("envoy")
            addresses = {name: ("127.0.0.1", pod.server_address[1]) for name, pod in pods.items()}
            envoy = Envoy(documents, addresses, *ports, folder)
            for pod in pods.values():
                stack.callback(pod.vanish)
            stack.callback(envoy.stop)
            envoy.start()
            envoy.wait_until_ready()
            return Routed(envoy, pods, ports[0])

        yield run
