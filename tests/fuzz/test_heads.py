"""The head of a request has limits of its own: bytes and seconds."""

import socket
import time

import pytest
from waiting import wait_for
from wire import read_answer, request, running, send

from kserve_transformers import http1
from kserve_transformers.http1 import MAX_HEAD_BYTES, MAX_URL_BYTES


async def app(scope, receive, send):
    """Answers every request with its path."""
    assert scope["type"] == "http", scope["type"]
    message, length = {"more_body": True}, 0
    while message.get("more_body"):
        message = await receive()
        length += len(message.get("body", b""))
    headers = [(b"content-length", str(len(scope["raw_path"])).encode()), (b"x-body", str(length).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": scope["raw_path"]})


@pytest.fixture(scope="module")
def server(free_ports):
    with running(app, *free_ports(1)) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(http1, "MAX_HEAD_S", 0.6)


def ask(server, data):
    with server.connect() as connection:
        send(connection, data)
        return read_answer(connection)[0]


def test_ordinary_requests_on_one_connection(server):
    with server.connect() as connection:
        for path in ("/a", "/b" * 9000, "/c"):
            send(connection, request(path, b"x" * 300_000))
            answer, rest = read_answer(connection)
            assert (answer.status, answer.body, rest) == (200, path.encode(), b"")
        send(connection, b"".join(request(f"/{index}", b"y") for index in range(50)))
        rest = b""
        for index in range(50):
            answer, rest = read_answer(connection, rest)
            assert answer.body == f"/{index}".encode()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: aaaaaaaa\r\n" * 2_000_000, id="headers without end"),
        pytest.param(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 20_000_000, id="a header without end"),
        pytest.param(b"GET /" + b"a" * 20_000_000, id="a path without end"),
    ],
)
def test_a_head_without_end_is_refused(server, head):
    answer = ask(server, head)
    assert (answer.status == 400 and str(MAX_HEAD_BYTES) in answer.error) or answer.status == 414


@pytest.mark.parametrize(("length", "status"), [(MAX_URL_BYTES, 200), (MAX_URL_BYTES + 1, 414)])
def test_an_overlong_url_is_414(server, length, status):
    with server.connect() as connection:
        send(connection, request("/" + "a" * (length - 1), method="GET"))
        answer, rest = read_answer(connection)
        assert answer.status == status
        if status == 414:
            assert answer.error == f"the URL is longer than {MAX_URL_BYTES} bytes"
            assert read_answer(connection, rest)[0] is None, "the connection is closed"


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        pytest.param("1.1", ["a"], 200, id="one"),
        pytest.param("1.1", [], 400, id="none"),
        pytest.param("1.1", ["a", "a"], 400, id="two that are equal"),
        pytest.param("1.1", ["a", "b"], 400, id="two that differ"),
        pytest.param("1.0", [], 200, id="none in HTTP/1.0"),
        pytest.param("1.0", ["a", "b"], 400, id="two in HTTP/1.0"),
    ],
)
@pytest.mark.parametrize("offer", [[], ["Connection: Upgrade", "Upgrade: h2c"]], ids=["plain", "with an offer"])
def test_a_request_has_one_host(server, version, hosts, status, offer):
    lines = [f"POST /a HTTP/{version}", *(f"Host: {host}" for host in hosts), *offer, "Content-Length: 1", "", "x"]
    answer = ask(server, "\r\n".join(lines).encode())
    assert answer.status == status
    if status == 400:
        assert answer.error.endswith("Host headers: send one")


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_is_given_up(impatient, server, start):
    started = time.monotonic()
    answer = ask(server, start)
    assert answer.status == 400
    assert answer.error.endswith("did not come within 0.6 s")
    assert time.monotonic() - started > 0.5


def test_a_slow_second_head_is_given_up_too(server, monkeypatch):
    with server.connect() as connection:
        send(connection, request("/a"))
        assert read_answer(connection)[0].status == 200
        monkeypatch.setattr(http1, "MAX_HEAD_S", 0.6)
        send(connection, b"GET /b HTT")
        assert "did not come" in read_answer(connection)[0].error


def test_a_body_may_take_its_time(server, monkeypatch):
    """Again where a busy machine took so long that the head was given up."""
    monkeypatch.setattr(http1, "MAX_HEAD_S", 1)

    def is_taken():
        with server.connect() as connection:
            send(connection, request("/a", b"12345", "Expect: 100-continue")[:-5])
            if read_answer(connection)[0].status == 400:
                return False
            time.sleep(1.2)
            send(connection, b"12345")
            return read_answer(connection)[0].status == 200

    wait_for(is_taken, seconds=60)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"GET /\xff HTTP/1.1\r\n\r\n", b"HELLO\r\n\r\n"])
def test_what_is_not_http_is_told_so_in_json(server, data):
    assert ask(server, data).error == "this is not a well-formed HTTP/1.1 request"


OFFERS = [
    pytest.param(
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"], id="h2c, as curl's"
    ),
    pytest.param(
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: QUJD"],
        id="websocket",
    ),
    pytest.param(["Upgrade: anything/7", "Connection: keep-alive, upgrade"], id="anything"),
]
SPLITS = [
    pytest.param(lambda data, head: [data], id="in one packet"),
    pytest.param(lambda data, head: [data[:head], data[head:]], id="the body in a packet of its own"),
    pytest.param(lambda data, head: [data[: head - 7], data[head - 7 : head + 9], data[head + 9 :]], id="torn"),
    pytest.param(lambda data, head: [data[at : at + 1] for at in range(len(data))], id="byte by byte"),
]
# As long as the request that it looks like: were it parsed as one, there would be one answer too many.
SMUGGLED = request("/smuggled", method="GET")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("form", ["length", "chunked", "none"])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "HEAD", "OPTIONS", "DELETE"])
def test_an_offered_upgrade_is_ignored_and_the_body_is_read(server, method, form, offer, split):
    head = "\r\n".join([f"{method} /first HTTP/1.1", "Host: x", *offer])
    ending = {
        "length": f"\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n".encode() + SMUGGLED,
        "chunked": b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        "none": b"\r\n\r\n",
    }[form]
    data = head.encode() + ending
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in split(data, data.index(b"\r\n\r\n") + 4):
            send(connection, piece)
        first, rest = read_answer(connection, without_body=method == "HEAD")
        send(connection, request("/second", b"ab", *offer) + request("/third", method="GET"))
        second, rest = read_answer(connection, rest)
        third, rest = read_answer(connection, rest)
    assert (first.status, first.headers["x-body"]) == (200, str(0 if form == "none" else len(SMUGGLED)))
    assert [(answer.status, answer.body, answer.headers["x-body"]) for answer in (second, third)] == [
        (200, b"/second", "2"),
        (200, b"/third", "0"),
    ]
    assert rest == b""


def test_connection_options_beside_an_offer_are_kept(server):
    with server.connect() as connection:
        send(connection, request("/a", b"1", "Connection: close, Upgrade", "Upgrade: h2c"))
        answer, rest = read_answer(connection)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert read_answer(connection, rest)[0] is None


@pytest.mark.parametrize("offer", [[], ["Connection: Upgrade", "Upgrade: h2c"]], ids=["plain", "with an offer"])
def test_connect_is_refused_and_the_connection_closes(server, offer):
    with server.connect() as connection:
        send(connection, request("a:80", b"", *offer, method="CONNECT") + request("/b", method="GET"))
        answer, rest = read_answer(connection)
        assert answer.status == 400
        assert read_answer(connection, rest)[0] is None
