"""One caller: sends one request at a time and reports its outcome."""

import asyncio
import errno
import re
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import grpc

from modelport.measure.generator.load import TIMEOUT_S
from modelport.measure.generator.requests import CUT, REFUSED, UNANSWERED, Record, Request

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_SERVER_TIMING = re.compile(rb"\r\nserver-timing: ([^\r]*)", re.IGNORECASE)
PORT_WAIT_S = 0.1  # ports of closed connections are free again after a minute
# The HTTP status that means the same as a gRPC code.
_STATUS = {"OK": "200", "RESOURCE_EXHAUSTED": "429", "UNAVAILABLE": "503", "DEADLINE_EXCEEDED": "504"}
_NOT_CONNECTED, _CONNECTION_ENDED = "failed to connect", ("closed", "reset", "goaway", "recvmsg")


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection for one request at a time. Answers must carry Content-Length, or have no body."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head = b""
        self._needed = 0
        self._answer: asyncio.Future[bytes] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._buffer += data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._buffer[: end + 2])
            length = _CONTENT_LENGTH.search(self._head)
            self._needed = end + 4 + int(length[1] if length else 0)
        if len(self._buffer) >= self._needed and self._answer and not self._answer.done():
            if b"connection: close" in self._head.lower():
                self.close()
            self._answer.set_result(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self.closed = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection ended before the answer"))

    async def exchange(self, wire: bytes) -> bytes:
        """Send a request and wait for the whole answer.

        Returns:
            The answer's head.

        Raises:
            ConnectionResetError: the connection ended before the answer.
        """
        self._buffer.clear()
        self._needed = 0
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed:
            raise ConnectionResetError("the connection ended before the request")
        self._transport.write(wire)
        return await self._answer

    def close(self) -> None:
        """End the connection; no answer is lost."""
        self.closed = True
        self._transport.close()


class Caller:
    """Sends requests, over HTTP or gRPC as each of them says.

    Args:
        url: http://HOST:PORT of the server; its gRPC port is the next one. Over https:// no certificate is verified.
        keep_alive: whether connections are kept. Kept gRPC connections are shared by all callers of the process.
    """

    def __init__(self, url: str, keep_alive: bool) -> None:
        address = urlsplit(url)
        self._tls = _unverified() if address.scheme == "https" else None
        port = address.port or (443 if self._tls else 80)
        self._host, self._port, self._keep_alive = address.hostname or "", port, keep_alive
        self._connection: Connection | None = None
        self._channel: grpc.aio.Channel | None = None

    async def send(self, request: Request) -> Record:
        """Send one request and wait for its outcome."""
        return await (self._infer(request) if request.over_grpc else self._post(request))

    async def close(self) -> None:
        """End what is connected."""
        if self._connection:
            self._connection.close()
        if self._channel:
            await self._channel.close()
        self._connection = self._channel = None

    async def _post(self, request: Request) -> Record:
        began, outcome, head = time.monotonic(), CUT, b""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._connection is None or self._connection.closed:
                    outcome = REFUSED
                    self._connection = await self._connect()
                    outcome = CUT
                head = await self._connection.exchange(request.wire(self._host))
                outcome = head[9:12].decode()
        except TimeoutError:
            outcome = UNANSWERED if outcome == CUT else outcome
        except OSError:
            pass
        took = time.monotonic() - began
        if not self._keep_alive or outcome in (CUT, UNANSWERED):
            await self.close()
        timing = _SERVER_TIMING.search(head)
        retry_after = outcome not in ("429", "503") or b"\r\nretry-after:" in head.lower()
        return Record(began, outcome, took, retry_after, timing[1].decode() if timing else "")

    async def _connect(self) -> Connection:
        """A new connection; where this machine has no port left for it, waits for one: the server refused nothing."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return (await loop.create_connection(Connection, self._host, self._port, ssl=self._tls))[1]
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
            await asyncio.sleep(PORT_WAIT_S)

    async def _infer(self, request: Request) -> Record:
        began = time.monotonic()
        if self._channel is None:
            options = [("grpc.max_receive_message_length", -1)]
            options += [] if self._keep_alive else [("grpc.use_local_subchannel_pool", 1)]
            self._channel = grpc.aio.insecure_channel(f"{self._host}:{self._port + 1}", options)
        infer = self._channel.unary_unary(request.path)
        try:
            await infer(request.body, timeout=TIMEOUT_S, metadata=list(request.headers.items()))
            outcome = "200"
        except grpc.aio.AioRpcError as error:
            outcome = _grpc_outcome(error, time.monotonic() - began)
        took = time.monotonic() - began
        if not self._keep_alive:
            await self.close()
        return Record(began, outcome, took)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _grpc_outcome(error: grpc.aio.AioRpcError, seconds: float) -> str:
    details = (error.details() or "").lower()
    if _NOT_CONNECTED in details:
        return REFUSED
    if any(word in details for word in _CONNECTION_ENDED):
        return CUT
    if seconds >= TIMEOUT_S:
        return UNANSWERED
    name = str(error.code().name)
    return _STATUS.get(name, name)
