"""Bounds on gRPC calls: their messages come in time or the call ends, and only work takes a place.

gRPC's own limit on concurrent calls counts those that still wait for their message: callers that never send one would
hold all places. Every method is therefore registered as one that reads its message itself.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import HandlerCallDetails, RpcMethodHandler, ServicerContext, StatusCode, aio

from kserve_transformers.body_limit import BODIES_HELD
from kserve_transformers.deadline import Deadline, count_from
from kserve_transformers.errors import BadRequestError, BusyError, LateBodyError
from kserve_transformers.http1 import MAX_HEAD_S
from kserve_transformers.routes.errors import INTERNAL, message
from kserve_transformers.sdk.errors import translate
from kserve_transformers.settings import Limits

logger = logging.getLogger(__name__)

Parse = Callable[[bytes], Any]

# Room for what stands around an image in a message.
_ENVELOPE_BYTES = 64 * 1024
# Calls that are worked on at once. Queues are full before: this bounds calls of methods that have none.
MAX_WORKING = 256
# Messages that may be on their way for longer than SLOW_S. gRPC holds what has come of each.
MAX_SLOW = 64
SLOW_S = 1.0
MAX_STREAMS = 1024


def server_options(limits: Limits) -> list[tuple[str, int]]:
    """What gRPC itself bounds, for each connection."""
    return [
        ("grpc.max_receive_message_length", limits.body_bytes + _ENVELOPE_BYTES),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.server_handshake_timeout_ms", int(MAX_HEAD_S * 1000)),
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.keepalive_time_ms", 60_000),  # finds connections whose other side is gone
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # more frequent pings end the connection
    ]


class Calls(aio.ServerInterceptor):  # type: ignore[misc]
    """Waits for each call's message within its deadline, turns errors to status codes, and limits what calls hold.

    Args:
        limits: of a request: its time, and, times `BODIES_HELD`, the bytes of all messages that are worked on. A
            message beyond these is refused as RESOURCE_EXHAUSTED.
    """

    def __init__(self, limits: Limits) -> None:
        self._max_s = limits.timeout_s
        self._max_held_bytes = BODIES_HELD * limits.body_bytes
        self._held_bytes = 0
        self._working = 0
        self._slow: dict[asyncio.Timeout, None] = {}  # that wait for messages, the oldest first
        self._given_up: set[asyncio.Timeout] = set()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[RpcMethodHandler]], details: HandlerCallDetails
    ) -> RpcMethodHandler:
        """The method's handler, behind these bounds."""
        handler = await continuation(details)
        if handler is None:
            return handler
        began, metadata = time.monotonic(), dict(details.invocation_metadata)

        async def call(_: AsyncIterator[bytes], context: ServicerContext) -> Any:
            try:
                remaining_s = context.time_remaining()
                count_from(began, math.inf if remaining_s is None else time.monotonic() + remaining_s)
                deadline = Deadline.of_request(metadata, self._max_s)
                return await self._answer(handler, context, deadline)
            except (aio.AbortError, asyncio.CancelledError):
                raise
            except Exception as exc:
                code, text = _told(exc, details.method)
            # gRPC keeps the error of an abort in a cycle: here it has no context, whose frames hold images
            await context.abort(code, text)

        streaming = handler.response_streaming
        bind = grpc.stream_stream_rpc_method_handler if streaming else grpc.stream_unary_rpc_method_handler
        return bind(call, None, handler.response_serializer)

    async def _answer(self, handler: RpcMethodHandler, context: ServicerContext, deadline: Deadline) -> Any:
        """What the method answers; a stream is written, and takes no place."""
        parse = handler.request_deserializer
        if handler.request_streaming:
            return await _written(
                (handler.stream_stream or handler.stream_unary)(self._each(parse, context), context), context
            )
        data = await self._message(context, deadline)
        if data is None:
            raise BadRequestError("the call ended without a whole message")
        if handler.response_streaming:
            return await _written(handler.unary_stream(_parsed(parse, data), context), context)
        self._held_bytes += len(data)
        self._working += 1
        try:
            if self._held_bytes > self._max_held_bytes or self._working > MAX_WORKING:
                raise BusyError("the server holds as many images as it can: try again shortly")
            return await handler.unary_unary(_parsed(parse, data), context)
        finally:
            self._held_bytes -= len(data)
            self._working -= 1

    async def _each(self, parse: Parse, context: ServicerContext) -> AsyncIterator[Any]:
        """The messages of a stream, of which each comes in time."""
        while (data := await self._message(context, Deadline.after(self._max_s))) is not None:
            yield _parsed(parse, data)

    async def _message(self, context: ServicerContext, deadline: Deadline) -> bytes | None:
        """The call's next message; None where the caller has ended its side.

        Raises:
            LateBodyError: the message did not come in time.
            BusyError: others' messages were waited for instead.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline.at - time.monotonic()) as timer:
                slow = loop.call_later(SLOW_S, self._slowed, timer)
                try:
                    data = await context.read()
                finally:
                    slow.cancel()
                    self._slow.pop(timer, None)
        except TimeoutError:
            if timer in self._given_up:
                raise BusyError("the server waits for as many messages as it can: try again shortly") from None
            raise LateBodyError("the call's message did not come in time") from None
        finally:
            self._given_up.discard(timer)  # its caller may have left, or sent the message, in the same moment
        return None if data is aio.EOF else bytes(data)

    def _slowed(self, timer: asyncio.Timeout) -> None:
        self._slow[timer] = None
        if len(self._slow) > MAX_SLOW:
            oldest = next(iter(self._slow))
            del self._slow[oldest]
            if not oldest.expired():  # a busy event loop comes to its deadline in the same moment
                self._given_up.add(oldest)
                oldest.reschedule(0)


def _told(exc: Exception, method: str) -> tuple[StatusCode, str]:
    """The code and the text of an error."""
    known = translate(exc)
    if known is None:
        logger.error("fault while answering %s", method, exc_info=exc)
        return StatusCode.INTERNAL, INTERNAL
    return StatusCode[known.grpc_code], message(known)


async def _written(answers: Any, context: ServicerContext) -> Any:
    """Write a stream of answers; gRPC's own services write theirs themselves."""
    if not inspect.isasyncgen(answers):
        return await answers
    async for answer in answers:
        await context.write(answer)
    return None


def _parsed(parse: Parse, data: bytes) -> Any:
    """The message; parsed here, since gRPC answers UNKNOWN where its own parsing fails, and logs a fault."""
    try:
        return parse(data)
    except DecodeError as exc:
        raise BadRequestError("the message cannot be parsed: it is not of this method's type") from exc
