"""What gRPC calls may hold and wait for."""

import asyncio
import time
from types import SimpleNamespace

import grpc
import pytest
from grpc import aio

from kserve_transformers.body_limit import BODIES_HELD
from kserve_transformers.deadline import TIMEOUT_HEADER, Deadline
from kserve_transformers.sdk import grpc_calls
from kserve_transformers.sdk.grpc_calls import Calls
from kserve_transformers.settings import Limits

LIMITS = Limits(body_bytes=10, timeout_s=600)
UNARY = grpc.unary_unary_rpc_method_handler


class AbortedError(Exception):
    """As a real context ends a call."""


class Context:
    """As much of a call's context as is used; its message is `sent`."""

    def __init__(self, remaining_s=None):
        self.sent, self.remaining_s = asyncio.get_running_loop().create_future(), remaining_s

    async def read(self):
        return await self.sent

    def time_remaining(self):
        return self.remaining_s

    async def abort(self, code, details):
        raise AbortedError(code.name, details)


@pytest.fixture
async def calls():
    """Calls a method that waits for an event, behind room for `BODIES_HELD` messages of ten bytes."""
    go, deadlines, interceptor = asyncio.Event(), [], Calls(LIMITS)

    async def behaviour(message, context):
        deadlines.append(Deadline.of_request(context.metadata, LIMITS.timeout_s))
        await go.wait()
        return message

    async def begin(context, **metadata):
        context.metadata = {name.replace("_", "-"): value for name, value in metadata.items()}
        details = SimpleNamespace(method="/m", invocation_metadata=tuple(context.metadata.items()))
        handler = await interceptor.intercept_service(lambda _: _handler(UNARY(behaviour, bytes, bytes)), details)
        return asyncio.ensure_future(handler.stream_unary(None, context))

    async def _handler(handler):
        return handler

    async def call(message=b"x" * 10, **metadata):
        context = Context()
        context.sent.set_result(message)
        return await begin(context, **metadata)

    return SimpleNamespace(go=go, call=call, begin=begin, deadlines=deadlines)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_messages_beyond_the_budget_are_told_to_come_back_and_leave_no_trace(calls):
    held = [await calls.call() for _ in range(BODIES_HELD)]
    await settle()
    for _ in range(5):
        with pytest.raises(AbortedError, match="RESOURCE_EXHAUSTED"):
            await (await calls.call())
    held[0].cancel()
    await settle()
    another = await calls.call()
    await settle()
    calls.go.set()
    assert await asyncio.gather(*held[1:], another) == [b"x" * 10] * BODIES_HELD


async def test_calls_beyond_the_places_are_told_to_come_back_and_waiting_takes_none(calls, monkeypatch):
    monkeypatch.setattr(grpc_calls, "MAX_WORKING", 2)
    waiting = Context()
    first = await calls.begin(waiting)
    held = [await calls.call(b"") for _ in range(2)]
    await settle()
    with pytest.raises(AbortedError, match="RESOURCE_EXHAUSTED"):
        await (await calls.call(b""))
    calls.go.set()
    assert await asyncio.gather(*held) == [b"", b""]
    waiting.sent.set_result(b"late")
    assert await first == b"late"


async def test_those_that_waited_longest_end_where_too_many_wait(calls, monkeypatch):
    """Who holds on to its message cannot keep others from sending theirs."""
    monkeypatch.setattr(grpc_calls, "MAX_SLOW", 2)
    monkeypatch.setattr(grpc_calls, "SLOW_S", 0.0)
    calls.go.set()
    contexts, tasks = [Context() for _ in range(4)], []
    for context in contexts:
        tasks.append(await calls.begin(context))
        await settle()
    for task in tasks[:2]:
        with pytest.raises(AbortedError, match="RESOURCE_EXHAUSTED"):
            await task
    for context in contexts[2:]:
        context.sent.set_result(b"late")
    assert await asyncio.gather(*tasks[2:]) == [b"late", b"late"]


async def test_a_call_whose_deadline_passes_in_the_moment_in_which_it_is_given_up_is_late(calls, monkeypatch):
    monkeypatch.setattr(grpc_calls, "MAX_SLOW", 1)
    monkeypatch.setattr(grpc_calls, "SLOW_S", 0.01)
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    calls.go.set()
    context = Context()
    first, second = await calls.begin(Context(), **{TIMEOUT_HEADER: "10"}), await calls.begin(context)
    await settle()
    time.sleep(0.05)  # noqa: ASYNC251  (a busy event loop: all timers are due when it goes on)
    with pytest.raises(AbortedError, match="DEADLINE_EXCEEDED"):
        await first
    context.sent.set_result(b"late")
    assert (await second, faults) == (b"late", [])


async def test_the_deadline_counts_from_the_calls_start_whichever_sets_it(calls):
    calls.go.set()
    started = time.monotonic()
    slow = Context()
    task = await calls.begin(slow, **{TIMEOUT_HEADER: "90000"})
    await settle()
    begun = time.monotonic()
    await asyncio.sleep(0.05)
    slow.sent.set_result(b"")
    await task
    assert started + 90 <= calls.deadlines[0].at <= begun + 90
    own = Context(remaining_s=40)
    own.sent.set_result(b"")
    await (await calls.begin(own))
    assert calls.deadlines[1].at <= time.monotonic() + 40


@pytest.mark.parametrize(
    ("remaining_s", "metadata", "message", "expected"),
    [
        pytest.param(None, {TIMEOUT_HEADER: "1"}, None, "DEADLINE_EXCEEDED", id="its own deadline"),
        pytest.param(-1, {}, None, "DEADLINE_EXCEEDED", id="gRPC's deadline"),
        pytest.param(None, {TIMEOUT_HEADER: "x"}, b"", "INVALID_ARGUMENT", id="a deadline of rubbish"),
        pytest.param(None, {}, aio.EOF, "INVALID_ARGUMENT", id="no message"),
    ],
)
async def test_calls_whose_message_does_not_come(calls, remaining_s, metadata, message, expected):
    context = Context(remaining_s)
    if message is not None:
        context.sent.set_result(message)
    with pytest.raises(AbortedError, match=expected):
        await (await calls.begin(context, **metadata))


async def test_streams_wait_for_each_message_in_time():
    """Reflection and health watches: a stream of requests, or of answers."""

    async def echo(requests, context):
        async for request in requests:
            yield request

    async def watch(request, context):
        await context.write(request)

    for handler, sent in (
        (grpc.stream_stream_rpc_method_handler(echo, bytes, bytes), [b"a", b"b"]),
        (grpc.unary_stream_rpc_method_handler(watch, bytes, bytes), [b"a"]),
    ):

        async def serve(_, handler=handler):
            return handler

        details = SimpleNamespace(method="/m", invocation_metadata=())
        for ends in (True, False):
            context, written, messages = Context(), [], [*sent, aio.EOF] if ends else sent[:-1]

            async def read(messages=iter(messages)):  # noqa: B008
                for message in messages:
                    return message
                return await asyncio.Event().wait()

            async def write(answer, written=written):
                written.append(answer)

            context.read, context.write = read, write
            limits = Limits(timeout_s=600 if ends else 0.5)
            bound = (await Calls(limits).intercept_service(serve, details)).stream_stream
            if ends:
                await bound(None, context)
            else:
                with pytest.raises(AbortedError, match="DEADLINE_EXCEEDED"):
                    await bound(None, context)
            assert written == (sent if ends else sent[:-1])
