"""The body limit: counted as the bytes come, so that it holds for chunked bodies without a length, too."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.errors import TooLargeError


class BodyLimit:
    """ASGI middleware that ends a request as soon as its body is known to be too large.

    Args:
        app: what is protected.
        max_bytes: of one request's body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        received = 0

        async def counted() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > self._max_bytes:
                raise self._too_large()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is larger than {self._max_bytes} bytes: send fewer or smaller pictures")
