"""The load generator against servers that answer, refuse, hang up or say nothing: it counts every outcome."""

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from waiting import wait_for

from modelport.measure.generator import __main__ as main_module
from modelport.measure.generator import caller as caller_module
from modelport.measure.generator.__main__ import Measurement
from modelport.measure.generator.caller import Caller
from modelport.measure.generator.load import GeneratorError, Load, RunningLoad, Window
from modelport.measure.generator.requests import CUT, INFER_METHOD, REFUSED, UNANSWERED, Record, Request, counts

REQUEST = Request("/x", b"body", {"a": "b"})
INFER = Request(INFER_METHOD, b"message", {"x-request-timeout-ms": "5"})


def answer(head: str) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(f"HTTP/1.1 {head}\r\ncontent-length: 2\r\n\r\n{{}}".encode())


@contextlib.contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request, behaves, and closes; gives its URL and the requests."""
    received: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received.append(connection.recv(65536))
                behave(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_caller_without_a_free_port_waits_for_one(monkeypatch):
    """The server refused nothing: ports of this machine's closed connections are not free for a minute."""
    monkeypatch.setattr(caller_module, "PORT_WAIT_S", 0.0)
    taken = [OSError(errno.EADDRNOTAVAIL, "no port")] * 2

    async def send(url: str) -> Record:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def without_ports(*arguments: Any, **options: Any) -> Any:
            if taken:
                raise taken.pop()
            return await connect(*arguments, **options)

        monkeypatch.setattr(loop, "create_connection", without_ports)
        return await Caller(url, keep_alive=False).send(REQUEST)

    with serving(answer("200 OK")) as (url, received):
        assert asyncio.run(send(url)).outcome == "200"
    assert (len(received), taken) == (1, [])


@pytest.mark.parametrize(
    ("behave", "outcome", "retry_after"),
    [
        pytest.param(answer("200 OK"), "200", True, id="success"),
        pytest.param(answer("429 Too Many Requests\r\nRetry-After: 1"), "429", True, id="429 with Retry-After"),
        pytest.param(answer("503 Service Unavailable"), "503", False, id="503 without Retry-After"),
        pytest.param(lambda connection: None, CUT, True, id="closed without an answer"),
        pytest.param(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nconte"), CUT, True, id="half a head"),
        pytest.param(
            lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
            CUT,
            True,
            id="half a body",
        ),
    ],
)
async def test_an_outcome_over_http(behave, outcome, retry_after):
    with serving(behave) as (url, received):
        record = await Caller(url, keep_alive=False).send(REQUEST)
    assert (record.outcome, record.retry_after) == (outcome, retry_after)
    assert received == [b"POST /x HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4\r\na: b\r\n\r\nbody"]


@pytest.mark.parametrize("request_", [pytest.param(REQUEST, id="http"), pytest.param(INFER, id="grpc")])
async def test_nobody_listens(request_, free_ports):
    port, _ = free_ports(2)
    assert (await Caller(f"http://127.0.0.1:{port}", keep_alive=False).send(request_)).outcome == REFUSED


async def test_a_silent_server_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(caller_module, "TIMEOUT_S", 0.1)
    silent = threading.Event()
    with serving(lambda connection: silent.wait()) as (url, _):
        record = await Caller(url, keep_alive=False).send(REQUEST)
        silent.set()
    assert record.outcome == UNANSWERED
    assert record.seconds >= 0.1


async def test_a_kept_connection_that_the_server_closed_is_opened_again():
    with serving(answer("200 OK\r\nconnection: close")) as (url, received):
        caller = Caller(url, keep_alive=True)
        assert [(await caller.send(REQUEST)).outcome for _ in range(3)] == ["200"] * 3
    assert len(received) == 3


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (None, "200"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "429"),
        (grpc.StatusCode.UNAVAILABLE, "503"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "504"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ],
)
async def test_an_outcome_over_grpc(code, outcome, free_ports):
    seen = []

    def infer(message: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append((message, dict(context.invocation_metadata())["x-request-timeout-ms"]))
        if code:
            context.abort(code, "on purpose")
        return b""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            assert details.method == INFER_METHOD
            return grpc.unary_unary_rpc_method_handler(infer)

    port, grpc_port = free_ports(2)
    server = grpc.server(ThreadPoolExecutor(1), handlers=(Handler(),))
    assert server.add_insecure_port(f"127.0.0.1:{grpc_port}") == grpc_port == port + 1
    server.start()
    try:
        assert (await Caller(f"http://127.0.0.1:{port}", keep_alive=False).send(INFER)).outcome == outcome
    finally:
        server.stop(None).wait()
    assert seen == [(b"message", "5")]


@pytest.mark.parametrize(
    "load", [Load((REQUEST,), callers=3), Load((REQUEST, REQUEST), rate=50.0)], ids=["callers", "rate"]
)
def test_a_running_load_gives_an_outcome_for_every_request(load):
    with serving(answer("200 OK")) as (url, received):
        running = RunningLoad(url, load)
        wait_for(lambda: len(received) >= 10)
        records = running.stop()
    assert counts(records) == {"200": len(received)}


def test_a_load_is_read_as_it_was_written():
    load = Load((REQUEST, INFER), callers=2, keep_alive=True, window=Window(0.5, 2.0, (1, 2)))
    assert Load.from_json(load.to_json()) == load


def test_a_load_that_cannot_be_sent_says_why():
    with pytest.raises(GeneratorError, match="Port could not be cast"):
        RunningLoad("http://127.0.0.1:x", Load((REQUEST,), callers=1)).stop()


def test_a_window_begins_when_every_caller_had_an_answer_and_lasts_for_enough_answers(monkeypatch):
    monkeypatch.setattr(main_module, "STRETCH", 1e15)
    measured, record = Measurement(Window(0.0, 1e-9), callers=2), Record(0.0, "200", 0.1)
    assert not measured.take(0, record)
    assert not measured.take(0, record)
    assert measured.records == []
    assert not measured.take(1, record)  # the window begins
    assert [measured.take(number % 2, record) for number in range(9)] == [False] * 7 + [True] * 2
    assert len(measured.records) == 8
    assert measured.seconds > 0
