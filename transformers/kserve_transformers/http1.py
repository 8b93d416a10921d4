"""HTTP/1.1 as uvicorn and httptools speak it, with bounds in time, no upgrades, and errors in our form."""

import asyncio
import time
from http import HTTPStatus
from typing import Any, NoReturn, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kserve_transformers.deadline import BEGAN
from kserve_transformers.lingering import CLOSE_S, Drain, LingeringTransport

# Of a request's head, whose parser has no limit of its own. They are fixed; those of the body are in settings.py.
MAX_HEAD_BYTES = 64 * 1024
MAX_URL_BYTES = 32 * 1024
MAX_HEAD_S = 10.0
# A caller that does not read its answer for so long is given up.
MAX_UNREAD_S = 30.0
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
    """Uvicorn's HTTP/1.1 with bounds on what a connection may wait for, no upgrades, and errors in our form.

    A connection is closed that sends no head within `MAX_HEAD_S`, before its first request and while one is on its
    way; between requests uvicorn's own keep-alive timeout counts. What comes of a body after its answer is read and
    dropped within the bounds of `Drain`, so that the answer reaches its caller. Where it is unknown how a message is
    framed, nothing after it is parsed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = UpgradeIgnored(self)  # type: ignore[assignment]
        self._real: asyncio.Transport
        self._began: float | None = None
        self._head_bytes = 0  # or of what frames a body, since the last of its bytes
        self._head_timer: asyncio.TimerHandle | None = None
        self._other_timer: asyncio.TimerHandle | None = None  # until the connection is given up
        self._body_due = False  # of the request that is being read
        self._body_came = False
        self._drain: Drain | None = None
        self._closing = False  # after the body that is due
        self._unframed = False  # whatever comes is dropped
        self._postponed: str | None = None  # an error that comes after the answers to requests before it
        self._refusal: tuple[HTTPStatus, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited from here."""
        self._real = transport
        super().connection_made(LingeringTransport(transport, self._close))  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._closing = self._unframed = True
        self._stop_waiting()
        if self._other_timer is not None:
            self._other_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while there is no whole head, and what is no body."""
        if self._drain is not None:
            self._drain.count(len(data))
        if self._unframed or self._postponed:
            return
        self._body_came = False
        super().data_received(data)
        if self._closing:
            return
        if self._body_came:
            self._head_bytes = 0
        elif self._head_timer is not None or self._body_due:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"the request's path and headers are larger than {MAX_HEAD_BYTES} bytes")
        elif self._idle and self.timeout_keep_alive_task is None:  # empty lines before a request
            self._await_head()

    @property
    def _idle(self) -> bool:
        """Whether everything that came was answered."""
        return not self._body_due and (self.cycle is None or self.cycle.response_complete)

    def on_message_begin(self) -> None:
        """Another head."""
        if self._closing:
            raise ValueError("nothing is read after the last request of a connection")
        super().on_message_begin()
        self._unset_keepalive_if_required()
        if self._began is None:
            self._began = time.monotonic()
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """More of the target."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"the URL is longer than {MAX_URL_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; those behind a chunked body are no part of it (RFC 9110, section 6.5.1)."""
        if not self._body_due:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole. RFC 9112, section 3.2: one Host, which HTTP/1.0 may leave out."""
        self._stop_waiting()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refuse(HTTPStatus.BAD_REQUEST, f"the request has {hosts or 'no'} Host headers: send one")
        cast(dict[str, Any], self.scope)[BEGAN] = self._began
        super().on_headers_complete()
        self._began, self._head_bytes, self._body_due = None, 0, True

    def on_body(self, body: bytes) -> None:
        """More of the body."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._body_due = False
        if self._closing:
            self._end()
        elif self._drain is not None:
            self._stop_waiting()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """What the caller still sends of an answered request is dropped; an error that came meanwhile is told."""
        super().on_response_complete()
        if self._postponed:
            self.send_400_response(self._postponed)
        elif self._body_due and self.cycle.response_complete:
            self._unset_keepalive_if_required()
            self._drain = self._drain or Drain(self.loop, self._end)

    def pause_writing(self) -> None:
        """The caller does not read its answer."""
        super().pause_writing()
        self._give_up_after(MAX_UNREAD_S)

    def resume_writing(self) -> None:
        """The caller reads its answer."""
        super().resume_writing()
        if self._other_timer is not None and not self._real.is_closing():
            self._other_timer.cancel()
            self._other_timer = None

    def _refuse(self, status: HTTPStatus, message: str) -> NoReturn:
        """End the parser, whose error ends the connection with this answer."""
        self._refusal = status, message
        raise ValueError(message)

    def send_400_response(self, msg: str) -> None:
        """The error in the form of all others, after the answers to earlier requests, and the end of the connection."""
        if self._closing:
            return
        cycle = self.cycle
        unanswered = cycle is not None and not cycle.response_complete
        if unanswered and (self.pipeline or not self._body_due):
            self._postponed = msg
            return
        self._stop_waiting()
        if not (self._body_due and cycle.response_started):  # else this request has its answer
            self._real.write(self._error_answer(msg))
        if unanswered:
            cycle.disconnected, cycle.waiting_for_100_continue = True, False
            cycle.message_event.set()
        self._closing = self._unframed = True
        self.flow.resume_reading()
        self._real.write_eof()
        self._drain = Drain(self.loop, self._end)

    def _error_answer(self, msg: str) -> bytes:
        text = msg if "request's" in msg else "this is not a well-formed HTTP/1.1 request"
        status, text = self._refusal or (HTTPStatus.BAD_REQUEST, text)
        body = orjson.dumps({"error": text})
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [b"%s: %s" % header for header in self.server_state.default_headers]
        lines += [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
        return b"\r\n".join((*lines, b"", body))

    def _close(self) -> None:
        """Close the connection, once the body that is due was read."""
        if self._body_due and not self._closing:
            self._closing = True
            self.flow.resume_reading()
            self._drain = self._drain or Drain(self.loop, self._end)
        elif self._drain is None:
            self._end()

    def _end(self) -> None:
        """Close the connection now; give it up where the caller does not take its answer."""
        self._closing = self._unframed = True
        self._stop_waiting()
        if not self._real.is_closing():
            self._real.close()
            self._give_up_after(CLOSE_S)

    def _give_up_after(self, seconds: float) -> None:
        if self._other_timer is None:
            self._other_timer = self.loop.call_later(seconds, self._real.abort)

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(MAX_HEAD_S, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._drain is not None:
            self._drain.stop()
            self._drain = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # reading is paused until the requests before it are answered
        else:
            self.send_400_response(f"the request's head did not come within {MAX_HEAD_S:g} s")
