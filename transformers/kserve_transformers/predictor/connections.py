"""HTTP/1.1 to one server: connections that are kept from request to request, and never shared by two."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httptools

# A connection that was idle for longer is closed: a server, or what stands before it, may be about to do the same.
KEEP_ALIVE_S = 15.0


class NotConnectedError(ConnectionError):
    """No connection could be made: nothing was sent."""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Connections:
    """As many connections as requests are under way at once.

    Each carries one request at a time, and another one only after a whole answer. A request that is cancelled, or
    fails in any other way, closes its connection.

    Args:
        host, port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: deque[tuple[_Connection, float]] = deque()  # and since when; the last one is used first

    async def exchange(
        self, method: str, path: str, headers: Sequence[str] = (), body: Sequence[bytes | memoryview] = ()
    ) -> HttpAnswer:
        """Send a request.

        Args:
            method: GET or POST.
            path: with a query where there is one.
            headers: lines `name: value`, among them the body's length.
            body: its parts, which must not change until the answer is here.

        Raises:
            NotConnectedError: the server cannot be reached.
            ConnectionError: the connection was lost before the answer was here.
            ValueError: the answer is not HTTP/1.1.
        """
        connection = self._take_idle() or await self._connect()
        head = "\r\n".join((f"{method} {path} HTTP/1.1", f"host: {self._host}:{self._port}", *headers, "", ""))
        try:
            answer = await connection.exchange([head.encode(), *body])
        except BaseException:  # also a task's cancellation: an answer may still come
            connection.close()
            raise
        if connection.reusable:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[0].close()

    def _take_idle(self) -> _Connection | None:
        oldest = time.monotonic() - KEEP_ALIVE_S
        while self._idle and (self._idle[0][1] < oldest or not self._idle[0][0].reusable):
            self._idle.popleft()[0].close()
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        except OSError as error:
            raise NotConnectedError(f"{self._host}:{self._port}: {error}") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection. Bytes that come without a request, or behind an answer, make it useless."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._usable = True

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: all was sent and answered, and the connection stands."""
        return (
            self._usable
            and self._answer is None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    async def exchange(self, parts: Sequence[bytes | memoryview]) -> HttpAnswer:
        """Send a request that is whole, and wait for its answer. For what is raised see `Connections.exchange`."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines(parts)
        return await self._answer

    def close(self) -> None:
        """End it now; what was not sent yet is dropped."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection was lost"))

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._answer is None:
            self._usable = False
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._usable = False
            if not self._answer.done():
                self._answer.set_exception(ValueError(f"the answer is not HTTP: {error}"))

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._answer is None:  # a second answer behind the first
            self._usable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        status, answer = self._parser.get_status_code(), self._answer
        if status < 200:
            self._headers.clear()
        elif answer is not None:
            self._answer = None
            self._usable = self._parser.should_keep_alive()
            if not answer.done():
                body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                answer.set_result(HttpAnswer(status, self._headers, body))
