"""HTTP/1.1 by hand: what clients that mean harm, or know no better, write on a socket."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from waiting import wait_for

from kserve_transformers.http1 import BoundedHead

# Of the server that the tests start.
MAX_BODY_BYTES = 2 * 2**20
TIMEOUT_S = 10.0  # a machine that others use, too, reads and answers within it


@dataclass(frozen=True)
class Answer:
    """An answer as it was read from the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """What the caller is told."""
        document = json.loads(self.body)
        assert list(document) == ["error"]
        return str(document["error"])


def request(path: str, body: bytes = b"", *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def read_answer(
    connection: socket.socket, rest: bytes = b"", without_body: bool = False
) -> tuple[Answer | None, bytes]:
    """The next answer and what was read behind it; no answer where the server closed the connection before."""
    while b"\r\n\r\n" not in rest:
        more = receive(connection)
        if not more:
            return None, rest
        rest += more
    head, _, rest = rest.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = 0 if without_body else int(headers.get("content-length", 0))
    while len(rest) < length:
        more = receive(connection)
        assert more, "an answer was cut off"
        rest += more
    return Answer(int(status.split()[1]), headers, rest[:length]), rest[length:]


def receive(connection: socket.socket) -> bytes:
    """What comes next; nothing where the other side is gone."""
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def send(connection: socket.socket, data: bytes) -> None:
    """Send as much as the other side takes: it may answer and close before it has read all."""
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


@dataclass(frozen=True)
class Running:
    """An ASGI application behind our HTTP/1.1."""

    port: int

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


@contextlib.contextmanager
def running(app: Any, port: int) -> Iterator[Running]:
    """Serve an ASGI application within the block."""
    config = uvicorn.Config(app, port=port, http=BoundedHead, lifespan="off", log_config=None, loop="uvloop")
    config.server_header = False
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield Running(port)
    finally:
        server.should_exit = True
        thread.join(300)
