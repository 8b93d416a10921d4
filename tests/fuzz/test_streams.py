"""Slow, greedy, broken or malicious gRPC callers on real HTTP/2: every call ends, neighbours notice nothing."""

import contextlib
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from h2.exceptions import ProtocolError
from http2 import INFER, LIVE, PREFACE, SETTINGS, Connection, closes, message
from waiting import wait_for
from wire import MAX_BODY_BYTES

from kserve_transformers.sdk.grpc_calls import MAX_SLOW, MAX_STREAMS

CODES = {str(code.value[0]): code.name for code in grpc.StatusCode}
WHOLE = message(b"abcdef")
NO_PLACE = {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
SOON = {"x_request_timeout_ms": "2000"}  # longer than a call may wait without counting as slow


@pytest.fixture
def connection(server):
    with Connection(server.grpc_port) as connection:
        yield connection


def code(stream):
    return CODES[stream.headers["grpc-status"]]


def codes(streams):
    return Counter(code(stream) for stream in streams)


def a_neighbour_is_answered(server):
    with Connection(server.grpc_port) as neighbour:
        (answer,) = neighbour.receive([neighbour.call(message(b""), LIVE, end=True)])
    assert (code(answer), answer.data) == ("OK", message(b"\x08\x01"))
    return True


@pytest.mark.parametrize(
    ("data", "end", "expected", "metadata"),
    [
        pytest.param(None, True, "INVALID_ARGUMENT", {}, id="ends with its head"),
        pytest.param(b"", True, "INVALID_ARGUMENT", {}, id="ends with an empty frame"),
        pytest.param(WHOLE[:3], True, "INVALID_ARGUMENT", {}, id="ends in the length"),
        pytest.param(WHOLE[:8], True, "INVALID_ARGUMENT", {}, id="ends in the message"),
        pytest.param(None, False, "DEADLINE_EXCEEDED", {}, id="sends nothing"),
        pytest.param(WHOLE[:3], False, "DEADLINE_EXCEEDED", SOON, id="stalls in the length"),
        pytest.param(WHOLE[:8], False, "DEADLINE_EXCEEDED", SOON, id="stalls in the message"),
        pytest.param(None, False, "DEADLINE_EXCEEDED", {"x_request_timeout_ms": "1"}, id="its own deadline"),
        pytest.param(None, False, "DEADLINE_EXCEEDED", {"grpc_timeout": "1m"}, id="gRPC's deadline"),
        pytest.param(None, False, "INVALID_ARGUMENT", {"x_request_timeout_ms": "soon"}, id="a deadline of rubbish"),
        pytest.param(b"\0\xff\xff\xff\xff", False, "RESOURCE_EXHAUSTED", {}, id="declares 4 GB"),
        pytest.param(message(b"\xff"), False, "INVALID_ARGUMENT", {}, id="no protobuf, and the stream stays open"),
        pytest.param(WHOLE * 3, False, "INVALID_ARGUMENT", {}, id="messages without end"),
        pytest.param(b"\1" + WHOLE[1:], True, "INTERNAL", {}, id="compressed without a coding"),
        pytest.param(b"\1" + WHOLE[1:], True, "INTERNAL", {"grpc_encoding": "gzip"}, id="no gzip"),
        pytest.param(WHOLE, True, "INTERNAL", {"grpc_encoding": "none such"}, id="a coding that is none"),
    ],
)
def test_a_call_without_a_whole_message_ends(connection, data, end, expected, metadata):
    (stream,) = connection.receive([connection.call(data, end=end, **metadata)])
    assert code(stream) == expected, stream.headers
    assert {name for name in stream.headers if "server" in name or "python" in name.lower()} == set()


@pytest.mark.parametrize("path", [LIVE, INFER, "/inference.GRPCInferenceService/RepositoryModelLoad"])
def test_every_method_waits_for_its_message_in_time(connection, path):
    (stream,) = connection.receive([connection.call(None, path, x_request_timeout_ms="1")])
    assert code(stream) == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("data", [None, b"", WHOLE[:3], message(bytes(100_000))[:300]])
def test_calls_that_never_send_their_message_take_no_place(server, data):
    """Some hundred of them on several connections: neighbours are answered, and in the end they all get their error."""
    before = server.memory_bytes()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server.grpc_port)) for _ in range(4)]
        for connection in connections:
            for _ in range(150):
                connection.call(data, **SOON)
            assert connection.send()
        for _ in range(10):
            assert a_neighbour_is_answered(server)
        ended = [stream for one in connections for stream in one.receive(one.streams)]
    assert server.memory_bytes() - before < 100 * 2**20
    assert set(codes(ended)) <= NO_PLACE
    assert len(ended) == 600
    assert a_neighbour_is_answered(server)


def test_those_that_waited_longest_end_where_too_many_wait(connection):
    """The newest go on waiting. On a busy machine the deadline may end the oldest before."""
    oldest = [connection.call() for _ in range(MAX_SLOW)]
    (alive,) = connection.receive([connection.call(message(b""), LIVE, end=True)])  # the server has them all
    assert code(alive) == "OK"
    newest = [connection.call() for _ in range(36)]
    ended = codes(connection.receive(oldest))
    assert set(ended) <= NO_PLACE
    assert ended["RESOURCE_EXHAUSTED"] <= 36
    assert codes(connection.receive(newest)) == {"DEADLINE_EXCEEDED": 36}


def test_a_message_may_come_in_pieces_as_small_as_can_be(connection):
    stream = connection.call(path=LIVE)
    data = message(b"")
    for at in range(len(data)):
        connection.h2.send_data(stream, data[at : at + 1], end_stream=at == len(data) - 1)
        assert connection.send()
    (answer,) = connection.receive([stream])
    assert code(answer) == "OK"


def test_partly_sent_messages_are_dropped_with_their_calls(server):
    """All but the last byte of the largest message, from many callers, six times over: memory stays below half."""
    before, rounds = server.memory_bytes(), 6
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection(server.grpc_port)) for _ in range(MAX_SLOW + 6)]
            for connection in connections:
                connection.push(connection.call(**SOON), message(bytes(MAX_BODY_BYTES))[:-1])
            assert a_neighbour_is_answered(server)
            ended = [stream for one in connections for stream in one.receive(one.streams)]
        assert set(codes(ended)) <= NO_PLACE
    assert server.memory_bytes() - before < rounds / 2 * len(ended) * MAX_BODY_BYTES


def test_streams_that_are_reset_at_once_harm_nobody(server, connection):
    for _ in range(3000):
        connection.h2.reset_stream(connection.call())
        if not connection.send():
            break
    assert a_neighbour_is_answered(server)


def test_more_streams_than_allowed_on_one_connection(server, connection):
    assert connection.h2.remote_settings.max_concurrent_streams > MAX_STREAMS  # not yet told
    for _ in range(2 * MAX_STREAMS):
        connection.call(**SOON)
    connection.send()
    assert a_neighbour_is_answered(server)
    assert {code(stream) for stream in connection.receive(connection.streams) if stream.headers} <= NO_PLACE
    assert connection.h2.remote_settings.max_concurrent_streams == MAX_STREAMS


@pytest.mark.parametrize("kind", ["ping", "settings", "empty frames"])
def test_a_flood_of_control_frames_harms_nobody(server, connection, kind):
    stream = connection.call(**SOON)
    for _ in range(300):
        for _ in range(30):
            if kind == "ping":
                connection.h2.ping(b"12345678")
            elif kind == "settings":
                connection.h2.update_settings({4: 65535})
            else:
                connection.h2.send_data(stream, b"")
        if not connection.send():
            break
    assert a_neighbour_is_answered(server)
    with contextlib.suppress(ProtocolError):  # the library takes nothing after the end of the connection
        connection.receive([stream])
    assert ("grpc-status" in connection.streams[stream].headers) == (kind != "ping"), "pings end the connection"


NO_HTTP2 = {
    "nothing": b"",
    "half a preface": PREFACE[:10],
    "no settings": PREFACE,
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),
    "a frame that is too large": PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(100),
    "a head of rubbish": PREFACE + SETTINGS + b"\0\0\5\1\4\0\0\0\1\xff\xff\xff\xff\xff",
}


def test_what_is_no_http2_is_closed(server):
    """All at once, since some are closed only when the time for a handshake is over."""
    with ThreadPoolExecutor(len(NO_HTTP2)) as pool:
        closed = pool.map(lambda data: closes(server.grpc_port, data), NO_HTTP2.values())
    assert dict(zip(NO_HTTP2, closed, strict=True)) == dict.fromkeys(NO_HTTP2, True)
    assert a_neighbour_is_answered(server)


def test_a_head_without_end_holds_no_memory(server):
    field = b"\0\x0a" + b"x-filler-0"[:10] + b"\x64" + b"v" * 100
    fields = field * 140
    with Connection(server.grpc_port) as connection:
        connection.send()
        before = server.memory_bytes()
        connection.socket.sendall(struct.pack(">I", len(fields))[1:] + b"\1\0\0\0\0\1" + fields)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(6000):
                connection.socket.sendall(struct.pack(">I", len(fields))[1:] + b"\x09\0\0\0\0\1" + fields)
        assert server.memory_bytes() - before < 60 * 2**20
        wait_for(lambda: a_neighbour_is_answered(server))
