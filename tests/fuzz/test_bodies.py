"""Bodies that come late, are not wanted, or do not end: the caller reads its answer, and the connection has an end."""

import contextlib
import http.client
import select
import socket
import urllib.error
import urllib.request

import httpx
import pytest
import requests
from corpus import scene
from image_files import encode
from wire import MAX_BODY_BYTES, TIMEOUT_S, read_answer, receive, request, running, send

from kserve_transformers import http1, lingering

OWN, V1, V2 = "/detector/api/", "/v1/models/detector:predict", "/v2/models/detector/infer"
PNG = encode(scene(), "PNG")
IMAGE, FORM = "Content-Type: image/png", "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
SMUGGLED = request("/v2/health/live", method="GET")
LARGE = bytes(21 * 2**20)
CHUNKED = f"POST {OWN} HTTP/1.1\r\nHost: x\r\n{IMAGE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def rest_until_closed(connection):
    """What comes until the other side closes the connection, which it must."""
    rest = b""
    while more := receive(connection):
        rest += more
    return rest


# --- the transformer server


LATE = {
    "length": (request(OWN, PNG, IMAGE)[: -len(PNG)], b"x"),
    "all but a byte": (request(OWN, PNG, IMAGE)[:-1], b""),
    "chunked": (CHUNKED, chunk(b"x")),
    "a torn chunk": (CHUNKED + b"fff\r\n", b"x"),
    "a chunk's size": (CHUNKED + b"0", b"0"),
    "trailers": (CHUNKED + chunk(PNG) + b"0\r\n", b"a"),
    "multipart": (request(OWN, PART + PNG, f"Content-Type: {FORM}")[: -len(PNG)], b"x"),
    "a part's head": (request(OWN, PART * 99, f"Content-Type: {FORM}")[: 20 - 99 * len(PART)], b"x"),
    "JSON": (request(V2, b'{"inputs": []}' + bytes(9999))[:-9999], b" "),
    "a request in a body": (request(OWN, SMUGGLED * 99, IMAGE)[: -98 * len(SMUGGLED)], SMUGGLED[:20]),
}


def test_late_bodies_are_408_and_their_connections_close(server):
    """Drops go on until the answer is there: were the body waited for, there would be none. Neighbours are answered."""
    with contextlib.ExitStack() as stack:
        late = {name: stack.enter_context(server.connect()) for name in LATE}
        for name, connection in late.items():
            send(connection, LATE[name][0])
        waiting = set(late)
        while waiting:
            readable, _, _ = select.select([late[name] for name in waiting], [], [], 0.5)
            waiting -= {name for name in waiting if late[name] in readable}
            for name in waiting:
                send(late[name], LATE[name][1])
            with server.connect() as neighbour:
                send(neighbour, SMUGGLED)
                assert read_answer(neighbour)[0].status == 200
        for name, connection in late.items():
            answer, rest = read_answer(connection)
            assert (name, answer.status, answer.headers.get("connection")) == (name, 408, "close")
            assert answer.error == f"the body did not come within {TIMEOUT_S:g} s"
            assert rest == b""
            send(connection, SMUGGLED)
        for name, connection in late.items():
            assert (name, rest_until_closed(connection)) == (name, b""), "nothing after the answer is a request"


@pytest.mark.parametrize("path", [OWN, V2])
def test_the_requests_own_deadline_counts_while_its_body_comes(server, path):
    with server.connect() as connection:
        send(connection, request(path, b"{}  ", "x-request-timeout-ms: 500")[:-1])
        answer, _ = read_answer(connection)  # the body never ends: only the deadline can end the request
        assert (answer.status, answer.headers["connection"]) == (504, "close")
        assert answer.error == "the request's deadline passed before its body was there"


def test_a_whole_body_with_a_deadline_that_passed_is_504(server):
    with server.connect() as connection:
        slow = request(OWN, PNG, IMAGE, "x-request-timeout-ms: 1")
        send(connection, slow * 50)  # those that wait for the answers before them
        statuses, rest = set(), b""
        for _ in range(50):
            answer, rest = read_answer(connection, rest)
            statuses.add(answer.status)
        assert statuses <= {503, 504}


REFUSALS = [
    pytest.param(413, OWN, "image/png", id="too large"),
    pytest.param(503, V1, "application/json", id="not ready"),
    pytest.param(413, V2, "application/json", id="too large, V2"),
    pytest.param(404, "/nothing", "image/png", id="no such route"),
    pytest.param(404, "/v2/models/nothing/infer", "application/json", id="no such service"),
    pytest.param(405, "/v2/health/live", "image/png", id="method"),
    pytest.param(415, OWN, "video/mp4", id="media type"),
    pytest.param(400, OWN, "multipart/form-data", id="form without a boundary"),
]


def by_http_client(url, path, headers, chunked):
    pieces = iter([LARGE[: 2**20]] * 21) if chunked else LARGE
    with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        connection.request("POST", path, pieces, headers, encode_chunked=chunked)
        response = connection.getresponse()
        return response.status, response.read()


def by_urllib(url, path, headers, chunked):
    pieces = iter([LARGE[: 2**20]] * 21) if chunked else LARGE
    try:
        urllib.request.urlopen(urllib.request.Request(url + path, pieces, headers), timeout=60)  # noqa: S310
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    raise AssertionError("not refused")


def by_requests(url, path, headers, chunked):
    pieces = iter([LARGE[: 2**20]] * 21) if chunked else LARGE
    response = requests.post(url + path, pieces, headers=headers, timeout=60)
    return response.status_code, response.content


def by_httpx(url, path, headers, chunked):
    pieces = iter([LARGE[: 2**20]] * 21) if chunked else LARGE
    response = httpx.post(url + path, content=pieces, headers=headers, timeout=60)
    return response.status_code, response.content


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("ask", [by_http_client, by_urllib, by_requests, by_httpx])
@pytest.mark.parametrize(("status", "path", "form"), REFUSALS)
def test_refusals_reach_callers_that_send_the_whole_body_first(server, status, path, form, ask, chunked):
    found, body = ask(f"http://127.0.0.1:{server.http_port}", path, {"Content-Type": form}, chunked)
    assert (found, body[:9]) == (status, b'{"error":')


def test_a_form_that_is_too_large_reaches_its_caller(server):
    url = f"http://127.0.0.1:{server.http_port}{OWN}"
    assert requests.post(url, files={"file": LARGE}, timeout=60).status_code == 413
    assert httpx.post(url, files={"file": LARGE}, timeout=60).status_code == 413


def test_discarded_bodies_are_not_held(server):
    before = server.memory_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            connection = stack.enter_context(server.connect())
            send(connection, request(OWN, b"", IMAGE).replace(b"Length: 0", b"Length: 400000000"))
            for _ in range(20):
                send(connection, LARGE[: 2**20])
            assert read_answer(connection)[0].status == 413
        assert server.memory_bytes() - before < 64 * 2**20


def test_who_asks_before_it_sends_gets_the_answer_at_once(server):
    with contextlib.ExitStack() as stack:
        connections = []
        for status, path, form in (refusal.values for refusal in REFUSALS):
            connection = stack.enter_context(server.connect())
            headers = [f"Content-Type: {form}", "Expect: 100-continue"]
            send(connection, request(path, b"", *headers).replace(b"Length: 0", b"Length: %d" % len(LARGE)))
            answer, rest = read_answer(connection)
            assert (answer.status, answer.headers["connection"], rest) == (status, "close", b"")
            connections.append(connection)
        assert [rest_until_closed(connection) for connection in connections] == [b""] * len(REFUSALS)


def test_who_asks_before_it_sends_is_told_to_go_on(server):
    with server.connect() as connection:
        whole = request(OWN, PNG, IMAGE, "Expect: 100-continue")
        send(connection, whole[: -len(PNG)])
        go_on, rest = read_answer(connection)
        assert (go_on.status, rest) == (100, b"")
        send(connection, PNG + SMUGGLED)
        answer, rest = read_answer(connection)
        assert (answer.status, "connection" in answer.headers) == (503, False)
        assert read_answer(connection, rest)[0].status == 200


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(SMUGGLED, id="200"),
        pytest.param(request(OWN, PNG, IMAGE), id="503"),
        pytest.param(request("/nothing", method="GET"), id="404"),
        pytest.param(request(OWN, bytes(MAX_BODY_BYTES + 1), IMAGE), id="413"),
        pytest.param(request("/", method="BREW"), id="400 below the application"),
        pytest.param(request("/" + "a" * 40_000, method="GET"), id="414"),
    ],
)
def test_no_answer_names_the_library(server, data):
    with server.connect() as connection:
        send(connection, data)
        answer, _ = read_answer(connection)
    text = repr(answer).lower()
    assert answer.headers["date"].endswith("GMT")
    assert "server" not in answer.headers
    assert not [name for name in ("uvicorn", "python", "starlette", "fastapi", "h11", "httptools") if name in text]


# --- our HTTP/1.1, with an application that answers at once, and bounds that are soon reached


async def refuse(scope, receive, send):
    """Answers without reading; /close says that the connection ends, /wait reads the body first, /long is long."""
    if scope["path"] == "/wait":
        while (await receive()).get("more_body"):
            pass
    body = bytes(50_000_000) if scope["path"] == "/long" else scope["raw_path"]
    headers = [(b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close")] * (scope["path"] == "/close")
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def plain(free_ports):
    with running(refuse, *free_ports(1)) as server:
        yield server


@pytest.fixture
def bounds(monkeypatch):
    def set_bounds(**values):
        for name, value in values.items():
            monkeypatch.setattr(http1 if hasattr(http1, name) else lingering, name, value)

    return set_bounds


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_the_connection_is_used_again_after_a_body_that_nobody_wanted(plain, form):
    body = SMUGGLED * 20_000
    whole = request("/a", body)
    if form == "chunked":
        whole = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n"
    with plain.connect() as connection:
        for _ in range(3):
            send(connection, whole[:100])
            answer, rest = read_answer(connection)
            assert (answer.body, rest, "connection" in answer.headers) == (b"/a", b"", False)
            send(connection, whole[100:])
        send(connection, request("/b"))
        assert read_answer(connection)[0].body == b"/b"


@pytest.mark.parametrize("path", ["/a", "/close"])
@pytest.mark.parametrize(
    ("bound", "sent"),
    [
        pytest.param({"DRAIN_BYTES": 2**20}, 2**30, id="bytes"),
        pytest.param({"DRAIN_S": 0.3}, 2**40, id="seconds"),
        pytest.param({"STALL_S": 0.3}, 0, id="nothing comes"),
        pytest.param({"STALL_S": 0.3, "STALL_BYTES": 2**40}, 2**40, id="little comes"),
    ],
)
def test_what_is_read_after_the_answer_is_bounded(plain, bounds, path, bound, sent):
    bounds(**bound)
    with plain.connect() as connection:
        send(connection, request(path).replace(b"Length: 0", b"Length: 9999999999999"))
        answer, rest = read_answer(connection)
        assert (answer.body, rest) == (path.encode(), b"")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(sent // 2**16):
                connection.sendall(bytes(2**16))
            assert rest_until_closed(connection) == b""
            return
        assert sent, "only who sends is reset"


def test_the_number_of_connections_that_are_read_for_nothing_is_bounded(free_ports, bounds):
    bounds(MAX_DRAINING=3)
    with contextlib.ExitStack() as stack, running(refuse, *free_ports(1)) as plain:
        connections = [stack.enter_context(plain.connect()) for _ in range(8)]
        for connection in connections:
            send(connection, request("/a").replace(b"Length: 0", b"Length: 1"))
            assert read_answer(connection)[0].body == b"/a"
        for connection in connections[:5]:
            assert rest_until_closed(connection) == b""
        for connection in connections[5:]:
            send(connection, b"x" + request("/b"))
            assert read_answer(connection)[0].body == b"/b"


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        pytest.param(request("/wait") + b"HELLO\r\n\r\n", [200, 400], id="rubbish after a request"),
        pytest.param(request("/wait") * 3 + b"HELLO\r\n\r\n", [200, 200, 200, 400], id="rubbish after three"),
        pytest.param(CHUNKED + b"zz\r\n", [400], id="rubbish in a body"),
        pytest.param(CHUNKED.replace(OWN.encode(), b"/wait") + b"zz\r\n", [400], id="rubbish in a body that is read"),
        pytest.param(request("/wait") + CHUNKED + b"zz\r\n", [200, 400], id="rubbish in the second body"),
        pytest.param(request("/close") + request("/b"), [200], id="a request after the last"),
        pytest.param(request("/wait", b"", "Connection: close") + request("/b"), [200], id="after its own last"),
        pytest.param(request("/wait", b"", version="1.0") + request("/b"), [200], id="after HTTP/1.0"),
    ],
)
def test_answers_come_in_order_and_the_connection_closes(plain, data, answers):
    with plain.connect() as connection:
        send(connection, data)
        found, rest = [], b""
        while True:
            answer, rest = read_answer(connection, rest)
            if answer is None:
                break
            found.append(answer.status)
    assert (found, rest) == (answers, b"")


@pytest.mark.parametrize("path", ["/wait", "/a"])
@pytest.mark.parametrize(
    "endless", [pytest.param(b"X-A: aaaaaaaa\r\n", id="trailers"), pytest.param(b"a", id="a trailer")]
)
def test_trailers_without_end_are_given_up(plain, path, endless):
    with plain.connect() as connection:
        send(connection, CHUNKED.replace(OWN.encode(), path.encode()) + chunk(b"x") + b"0\r\n")
        if path == "/a":
            assert read_answer(connection)[0].status == 200
        for _ in range(64):
            send(connection, endless * (2**16 // len(endless)))
        answer, rest = read_answer(connection) if path == "/wait" else (None, b"")
        assert answer is None or answer.status == 400
        assert rest + rest_until_closed(connection) == b""


def test_trailers_do_not_become_headers(free_ports):
    async def echo(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        body = repr(scope["headers"]).encode()
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    with running(echo, *free_ports(1)) as server, server.connect() as connection:
        send(connection, CHUNKED + chunk(b"x") + b"0\r\nx-request-id: smuggled\r\n\r\n" + request("/b"))
        first, rest = read_answer(connection)
        assert b"smuggled" not in first.body
        assert read_answer(connection, rest)[0].status == 200


def test_empty_lines_do_not_keep_a_connection_open(plain, bounds):
    bounds(MAX_HEAD_S=0.5)
    with plain.connect() as connection:
        send(connection, request("/a"))
        assert read_answer(connection)[0].status == 200
        connection.settimeout(0.1)
        answer = None
        while answer is None:
            send(connection, b"\r\n")
            with contextlib.suppress(TimeoutError):
                answer, _ = read_answer(connection)
                break
        assert answer is None or "did not come" in answer.error


def test_an_answer_that_nobody_reads_is_given_up(plain, bounds):
    bounds(MAX_UNREAD_S=0.5)
    with plain.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        send(connection, request("/long"))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                connection.sendall(bytes(2**16))  # the server takes it or closes: the answer is not read
