"""Enforces limits while a request is received: bytes and seconds of the head and of the body."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kserve_transformers.errors import BusyError, TooLargeError, TooLateError
from kserve_transformers.metrics import REFUSED_BYTES

# Bodies that may be held at once, of all requests together, as a multiple of the largest one allowed.
BODIES_HELD = 8
# Of a request's head, whose parser has no limit of its own. These two are fixed; those of the body are in settings.py.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEAD_S = 10.0
_UPGRADE_FIELDS = (b"upgrade", b"http2-settings")


class BodyLimit:
    """ASGI middleware that ends a request as soon as its body is known to be too large or too slow.

    It holds for chunked bodies without a length, too, and before anything is parsed. What all requests together hold
    is limited as well, so that a flood of large bodies is answered 429 and takes no more memory.

    Args:
        app: what is protected.
        max_bytes: of one request's body.
        max_s: seconds from the request's head to its body's end.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        until = asyncio.get_running_loop().time() + self._max_s
        received, complete = 0, False  # received is what this request holds

        async def counted() -> Message:
            nonlocal received, complete
            if declared.isdigit() and int(declared) > self._max_bytes:
                raise self._too_large(int(declared))
            if complete:  # what comes now is the caller's leaving, however late
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise TooLateError(f"the body did not come within {self._max_s:g} s") from None
            received += len(message.get("body", b""))
            self._held += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_bytes:
                raise self._too_large(received)
            if self._held > BODIES_HELD * self._max_bytes:
                raise BusyError("the server holds as many images as it can: try again shortly")
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= received

    def _too_large(self, count: int) -> TooLargeError:
        REFUSED_BYTES.inc(count)
        return TooLargeError(f"the body is larger than {self._max_bytes} bytes: send fewer or smaller images")


class UpgradeIgnored:
    """httptools' parser, to which an offered upgrade (h2c, websocket, ...) is nothing: RFC 9110, section 7.8.

    httptools takes what follows the head of such a request for another protocol: its body is lost, or parsed as the
    next request. Here the head is parsed once more without the offer, and the body after it.

    Args:
        protocol: takes the callbacks, and holds what has been read of the request: `url` and `headers`.
    """

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self.on_message_begin, self.on_url, self.on_header = (
            protocol.on_message_begin,
            protocol.on_url,
            protocol.on_header,
        )
        self.on_body = protocol.on_body
        self._parser = self._new()

    def _new(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return parser

    def get_method(self) -> bytes:
        """Of the request that is being read."""
        method: bytes = self._parser.get_method()
        return method

    def get_http_version(self) -> str:
        """Of the request that is being read: "1.0" or "1.1"."""
        version: str = self._parser.get_http_version()
        return version

    def should_keep_alive(self) -> bool:
        """Whether the connection may stay open after this request."""
        return bool(self._parser.should_keep_alive())

    def should_upgrade(self) -> bool:
        """Never."""
        return False

    def on_headers_complete(self) -> None:
        """The head is whole, unless it comes again without the offer."""
        if not self._parser.should_upgrade():
            self._protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole, unless its body is still to come."""
        if not self._parser.should_upgrade():
            self._protocol.on_message_complete()

    def feed_data(self, data: bytes) -> None:
        """Parse what came.

        Raises:
            HttpParserError: it is no HTTP/1.1, or a CONNECT, after which no request follows.
        """
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                if self._parser.get_method() == b"CONNECT":
                    raise httptools.HttpParserError("CONNECT is not served") from None
                data = self._head() + data[offer.args[0] :]
                self._parser = self._new()

    def _head(self) -> bytes:
        """The head of the request without its offer."""
        target = b"%s %s HTTP/%s" % (
            self._parser.get_method(),
            self._protocol.url,
            self._parser.get_http_version().encode(),
        )
        lines = [target]
        for name, value in self._protocol.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _UPGRADE_FIELDS)
            if name not in _UPGRADE_FIELDS:
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join((*lines, b"", b""))


class BoundedHead(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 with limits on a request's head, no upgrades, and errors in our form.

    A connection that sends no head within `MAX_HEAD_S` is closed: before its first request, and while one is on its
    way; between requests uvicorn's own keep-alive timeout counts.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = UpgradeIgnored(self)  # type: ignore[assignment]
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited from here."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while there is no whole head."""
        super().data_received(data)
        if self._head_timer is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"the request's path and headers are larger than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """Another head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """The error in the form of all others, and the end of the connection."""
        self._stop_waiting()
        body = orjson.dumps({"error": msg if "request's" in msg else "this is not a well-formed HTTP/1.1 request"})
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(MAX_HEAD_S, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # reading is paused until the requests before it are answered
        else:
            self.send_400_response(f"the request's head did not come within {MAX_HEAD_S:g} s")
