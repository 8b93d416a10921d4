"""Content codings on the wire: bodies are decoded while they come, and large answers coded for those who accept it."""

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedCodingError
from kserve_transformers.protocol.codings import Inflater, answer_coding, compress, request_coding
from kserve_transformers.routes.errors import answer

# Below it an answer fits into one packet, coded or not.
_MIN_BYTES = 1024
# Above it an answer is coded in a thread.
_MAX_BYTES_HERE = 128 * 1024
_PIECE = 256 * 1024


class Coded:
    """ASGI middleware that decodes bodies and codes answers. What is inside of it counts decoded bytes.

    Args:
        app: sees neither codings nor the headers that name them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, decoded, and its answer back, coded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        send = _coding(headers.get("accept-encoding", ""), send)
        if scope["method"] != "POST":  # nothing else has a body
            await self._app(scope, receive, send)
            return
        named = ",".join(headers.getlist("content-encoding"))
        try:
            coding = request_coding(named)
        except UnsupportedCodingError as error:
            await answer(error)(scope, receive, send)
            return
        if named:
            uncoded = [(name, value) for name, value in scope["headers"] if name != b"content-encoding"]
            scope = {**scope, "headers": uncoded}
        await self._app(scope, _decoding(coding, receive) if coding else receive, send)


def _decoding(coding: str, receive: Receive) -> Receive:
    inflater: Inflater | None = Inflater(coding)
    last = False

    async def decoded() -> Message:
        nonlocal inflater, last
        while inflater is not None:
            try:
                piece = inflater.read(_PIECE, last)
            except (BadRequestError, TooLargeError):
                inflater = None  # nothing more is decoded, however long the body is read
                raise
            if piece or last:
                if not piece:
                    inflater = None
                return {"type": "http.request", "body": piece, "more_body": bool(piece)}
            message = await receive()
            if message["type"] != "http.request":
                return message
            inflater.feed(message.get("body", b""))
            last = not message.get("more_body", False)
        message = await receive()
        return {**message, "body": b""} if message["type"] == "http.request" else message

    return decoded


def _coding(accepted: str, send: Send) -> Send:
    start: Message | None = None

    async def coded(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        if start is not None:
            held, start = start, None
            headers, body = MutableHeaders(scope=held), message.get("body", b"")
            if _worthwhile(headers, body) and not message.get("more_body", False):
                headers.add_vary_header("Accept-Encoding")
                coding = answer_coding(accepted)
                if coding is not None:
                    large = len(body) > _MAX_BYTES_HERE
                    body = await asyncio.to_thread(compress, body, coding) if large else compress(body, coding)
                    message = {**message, "body": body}
                    headers["content-encoding"] = coding
                    headers["content-length"] = str(len(body))
                    if "etag" in headers:  # of the uncoded form
                        headers["etag"] = "W/" + headers["etag"].removeprefix("W/")
            await send(held)
        await send(message)

    return coded


def _worthwhile(headers: MutableHeaders, body: bytes) -> bool:
    media_type = headers.get("content-type", "")
    packed = media_type.startswith("image/") and not media_type.startswith("image/svg")
    return len(body) >= _MIN_BYTES and "content-encoding" not in headers and not packed
