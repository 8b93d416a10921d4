"""HTTP/1.1 as uvicorn and httptools speak it, with limits on a request's head, no upgrades, and errors in our form."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, NoReturn

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a request's head, whose parser has no limit of its own. They are fixed; those of the body are in settings.py.
MAX_HEAD_BYTES = 64 * 1024
MAX_URL_BYTES = 32 * 1024
MAX_HEAD_S = 10.0
_UPGRADE_FIELDS = (b"upgrade", b"http2-settings")


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
        self._refusal: tuple[HTTPStatus, str] | None = None

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

    def on_url(self, url: bytes) -> None:
        """More of the target."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"the URL is longer than {MAX_URL_BYTES} bytes")

    def on_headers_complete(self) -> None:
        """The head is whole. RFC 9112, section 3.2: one Host, which HTTP/1.0 may leave out."""
        self._stop_waiting()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refuse(HTTPStatus.BAD_REQUEST, f"the request has {hosts or 'no'} Host headers: send one")
        super().on_headers_complete()

    def _refuse(self, status: HTTPStatus, message: str) -> NoReturn:
        """End the parser, whose error ends the connection with this answer."""
        self._refusal = status, message
        raise ValueError(message)

    def send_400_response(self, msg: str) -> None:
        """The error in the form of all others, and the end of the connection."""
        self._stop_waiting()
        text = msg if "request's" in msg else "this is not a well-formed HTTP/1.1 request"
        status, text = self._refusal or (HTTPStatus.BAD_REQUEST, text)
        body = orjson.dumps({"error": text})
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
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
