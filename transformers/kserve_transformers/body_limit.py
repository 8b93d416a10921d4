"""Limits on requests while their bodies come: bytes, seconds, and what is held of all. The values: settings.Limits."""

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.deadline import BEGAN, Deadline, count_from
from kserve_transformers.errors import BusyError, LateBodyError, TooLargeError, TooLateError
from kserve_transformers.metrics import REFUSED_BYTES

# Bodies that may be held at once, of all requests together, as a multiple of the largest one allowed.
BODIES_HELD = 8


class BodyLimit:
    """ASGI middleware that ends a request as soon as its body is known to be too large or too slow.

    It holds for chunked bodies without a length, too, and before anything is parsed. What all requests together hold
    is limited as well, so that a flood of large bodies is answered 429 and takes no more memory.

    Args:
        app: what is protected.
        max_bytes: of one request's body.
        max_s: seconds from the request's first byte to its body's end, where the request allows no fewer.
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
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        began = scope.get(BEGAN, time.monotonic())
        count_from(began)
        received, asked, complete, late = 0, False, False, False  # received is what this request holds

        async def counted() -> Message:
            nonlocal received, asked, complete, late
            if declared.isdigit() and int(declared) > self._max_bytes:
                raise self._too_large(int(declared))
            if complete:  # what comes now is the caller's leaving, however late
                return await receive()
            deadline = Deadline.of_request(headers, self._max_s)
            asked = True
            try:
                async with asyncio.timeout(deadline.at - time.monotonic()):  # what is here already is never late
                    message = await receive()
            except TimeoutError:
                late = True
                if deadline.at < began + self._max_s:
                    raise TooLateError("the request's deadline passed before its body was there") from None
                raise LateBodyError(f"the body did not come within {self._max_s:g} s") from None
            received += len(message.get("body", b""))
            self._held += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_bytes:
                raise self._too_large(received)
            if self._held > BODIES_HELD * self._max_bytes:
                raise BusyError("the server holds as many images as it can: try again shortly")
            return message

        async def answered(message: Message) -> None:
            # The rest of a late body is not worth waiting for. Who asked whether to send the body may send it or not
            # after another answer: where the next request begins is then unknown.
            if message["type"] == "http.response.start" and (late or (not asked and "expect" in headers)):
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        try:
            await self._app(scope, counted, answered)
        finally:
            self._held -= received

    def _too_large(self, count: int) -> TooLargeError:
        REFUSED_BYTES.inc(count)
        return TooLargeError(f"the body is larger than {self._max_bytes} bytes: send fewer or smaller images")
