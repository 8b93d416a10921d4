"""What all gRPC messages together may hold."""

import asyncio
from types import SimpleNamespace

import grpc
import pytest

from kserve_transformers.sdk.grpc import Interceptor


class AbortedError(Exception):
    """As a real context ends a call."""


class Context:
    """As much of a call's context as the interceptor uses."""

    async def abort(self, code, details):
        raise AbortedError(code, details)


@pytest.fixture
async def call():
    """Calls a method that waits for an event, behind an interceptor with room for three messages of ten bytes."""
    go = asyncio.Event()

    async def behaviour(message, context):
        await go.wait()
        return message

    handler = SimpleNamespace(unary_unary=behaviour, request_deserializer=bytes, response_serializer=bytes)

    async def continuation(details):
        return handler

    wrapped = await Interceptor(30).intercept_service(continuation, SimpleNamespace(method="/m"))
    return SimpleNamespace(go=go, one=lambda: asyncio.ensure_future(wrapped.unary_unary(b"x" * 10, Context())))


async def test_messages_beyond_the_budget_are_told_to_come_back_and_leave_no_trace(call):
    held = [call.one() for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(AbortedError) as aborted:
            await call.one()
        assert aborted.value.args[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    held[0].cancel()
    await asyncio.sleep(0)
    fourth = call.one()
    await asyncio.sleep(0)
    call.go.set()
    assert await asyncio.gather(*held[1:], fourth) == [b"x" * 10] * 3
