"""gRPC by hand: what clients that mean harm, or know no better, write on an HTTP/2 connection."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

INFER = "/inference.GRPCInferenceService/ModelInfer"
LIVE = "/inference.GRPCInferenceService/ServerLive"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def message(data: bytes) -> bytes:
    """A message as gRPC frames it."""
    return struct.pack(">BI", 0, len(data)) + data


@dataclass
class Stream:
    """What has come on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False


class Connection:
    """An HTTP/2 connection to a gRPC port.

    Args:
        port: on this machine.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.streams: dict[int, Stream] = {}

    def __enter__(self) -> Connection:
        """The connection itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.socket.close()

    def call(self, data: bytes | None = None, path: str = INFER, end: bool = False, **metadata: str) -> int:
        """Open a stream; nothing but its head, or what begins its message, is sent with `send`."""
        stream = self.h2.get_next_available_stream_id()
        self.streams[stream] = Stream()
        head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
        head |= {"content-type": "application/grpc"}
        head |= {name.replace("_", "-"): value for name, value in metadata.items()}
        self.h2.send_headers(stream, list(head.items()), end_stream=end and data is None)
        if data is not None:
            self.h2.send_data(stream, data, end_stream=end)
        return stream

    def send(self) -> bool:
        """Send what is to be sent; False where the other side has closed the connection."""
        try:
            self.socket.sendall(self.h2.data_to_send())
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self, streams: Iterable[int]) -> list[Stream]:
        """Wait until these streams have ended, or the connection is closed; what has come on them."""
        waited = [self.streams[stream] for stream in streams]
        self.send()
        while not all(stream.ended for stream in waited) and self._read():
            self.send()
        return waited

    def push(self, stream: int, data: bytes) -> None:
        """Send a part of a message, as fast as the other side takes it."""
        while data and not self.streams[stream].ended:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            if not (self.send() and (room or self._read())):
                return

    def _read(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        for event in self.h2.receive_data(data):
            self._take(event)
        return bool(data)

    def _take(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0, Stream())
        if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
            stream.headers |= dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            stream.ended = True


def closes(port: int, data: bytes, seconds: float = 60) -> bool:
    """Whether the other side closes a connection on which this was sent."""
    until = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(data)
        try:
            while connection.recv(65536):
                connection.settimeout(max(0.1, until - time.monotonic()))
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True
