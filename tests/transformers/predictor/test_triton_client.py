"""The HTTP client of Triton against a server of sockets that answers as a test says."""

import asyncio
import contextlib
import json
import time

import httptools
import numpy as np
import pytest

from kserve_transformers.predictor import connections
from kserve_transformers.predictor.connections import NotConnectedError
from kserve_transformers.predictor.triton_client import TritonClient, TritonError

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


class Request:
    """A request as it came: its head, its JSON, and the bytes behind that."""

    def __init__(self, path, headers, body):
        self.path, self.headers = path, headers
        length = int(headers.get(b"inference-header-content-length", len(body)))
        self.document, self.data = json.loads(body[:length] or b"{}"), body[length:]

    def doubled(self, **other):
        """The answer of a model that doubles its rows."""
        array = np.frombuffer(self.data, np.float32) * 2
        shape = self.document["inputs"][0]["shape"]
        output = {"name": "y", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": array.nbytes}}
        document = {"model_version": "3", "id": self.document["id"], "outputs": [output], **other}
        return answer(json.dumps(document).encode(), array.tobytes())


def answer(head, data=b"", status="200 OK", more=b""):
    lines = f"HTTP/1.1 {status}\r\nInference-Header-Content-Length: {len(head)}\r\n".encode() + more
    return lines + f"Content-Length: {len(head) + len(data)}\r\n\r\n".encode() + head + data


class Server:
    """A Triton; `reply` is given each request and its writer, and returns what is sent."""

    def __init__(self):
        self.reply = lambda request, writer: request.doubled()
        self.requests, self.connections = [], 0
        self._tasks = set()

    async def start(self):
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self):
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError):
                await self.serve(reader, writer)
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    async def serve(self, reader, writer):
        state = {}

        class Parser:
            def on_message_begin(self):
                state.update(path=b"", headers={}, body=b"", whole=False)

            def on_url(self, url):
                state["path"] += url

            def on_header(self, name, value):
                state["headers"][name] = value

            def on_body(self, body):
                state["body"] += body

            def on_message_complete(self):
                state["whole"] = True

        parser = httptools.HttpRequestParser(Parser())
        while data := await reader.read(1 << 16):
            parser.feed_data(data)
            if state["whole"]:
                state["whole"] = False
                self.requests.append(Request(state["path"].decode(), state["headers"], state["body"]))
                reply = self.reply(self.requests[-1], writer)
                writer.write(await reply if asyncio.iscoroutine(reply) else reply)
                await writer.drain()


@pytest.fixture
async def server():
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def client(server):
    with contextlib.closing(TritonClient(f"127.0.0.1:{server.port}")) as client:
        yield client


async def infer(client, rows=ROWS, **options):
    return (await client.infer("m", ("x", "FP32", rows), {"y": {}}, **options)).outputs["y"]


async def test_an_inference_is_v2_with_binary_tensors(server, client):
    answered = await client.infer(
        "a b", ("x", "FP32", ROWS), {"y": {"classification": 3}}, 1.5, {"traceparent": "00-a"}
    )
    np.testing.assert_array_equal(answered.outputs["y"], ROWS * 2)
    assert answered.version == "3"
    (request,) = server.requests
    assert request.path == "/v2/models/a%20b/infer"
    assert request.headers[b"traceparent"] == b"00-a"
    assert request.headers[b"host"].decode() == f"127.0.0.1:{server.port}"
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24}}
    assert request.document == {
        "id": "0",
        "inputs": [tensor],
        "outputs": [{"name": "y", "parameters": {"classification": 3, "binary_data": True}}],
        "parameters": {"timeout": 1_500_000},
    }


@pytest.mark.parametrize(
    "rows",
    [ROWS.T, ROWS[:, ::2], np.broadcast_to(ROWS[:1], (4, 3)), np.zeros((9, 200_000), np.float32) + 7],
    ids=["transposed", "strided", "repeated", "larger than a socket's buffer"],
)
async def test_arrays_are_sent_in_the_order_of_their_elements(client, rows):
    np.testing.assert_array_equal(await infer(client, rows), rows * 2)


async def test_bytes_go_in_and_come_out(server, client):
    def echo(request, writer):
        output = {**request.document["inputs"][0], "name": "y"}
        return answer(json.dumps({"model_version": "1", "outputs": [output]}).encode(), request.data)

    server.reply = echo
    words = np.array([[b"one", b""], ["zwölf".encode(), b"\0"]], np.object_)
    answered = await client.infer("m", ("x", "BYTES", words), {"y": {}})
    np.testing.assert_array_equal(answered.outputs["y"], words)


async def test_metadata_and_config_are_read(server, client):
    server.reply = lambda request, writer: answer(json.dumps({"asked": request.path}).encode())
    assert await client.metadata("m") == {"asked": "/v2/models/m"}
    assert await client.config("m") == {"asked": "/v2/models/m/config"}


async def test_requests_use_a_connection_one_after_the_other(server, client):
    for scale in range(5):
        np.testing.assert_array_equal(await infer(client, ROWS * scale), ROWS * 2 * scale)
    assert server.connections == 1


async def test_requests_under_way_never_share_a_connection(server, client):
    """The server holds all of them until the last is there, and answers that one first."""
    whole = asyncio.Event()

    async def last_first(request, writer):
        number = len(server.requests)
        if number == 20:
            whole.set()
        await whole.wait()
        await asyncio.sleep(0.001 * (20 - number))
        return request.doubled()

    server.reply = last_first
    answers = await asyncio.gather(*(infer(client, ROWS + scale) for scale in range(20)))
    for scale, rows in enumerate(answers):
        np.testing.assert_array_equal(rows, (ROWS + scale) * 2)
    assert server.connections == 20


async def test_the_answer_to_a_cancelled_request_reaches_no_other(server, client):
    late = asyncio.Event()

    async def held(request, writer):
        if len(server.requests) == 2:
            await late.wait()
        return request.doubled()

    server.reply = held
    await infer(client)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await infer(client, ROWS + 100)
    late.set()
    for scale in range(1, 5):
        np.testing.assert_array_equal(await infer(client, ROWS * scale), ROWS * 2 * scale)


@pytest.mark.parametrize("pause_s", [0, 0.05], ids=["with the first", "later"])
async def test_a_second_answer_reaches_no_request(server, client, pause_s):
    async def twice(request, writer):
        if len(server.requests) > 1:
            return request.doubled()
        writer.write(request.doubled() if pause_s else request.doubled() * 2)
        await writer.drain()
        await asyncio.sleep(pause_s)
        return request.doubled() if pause_s else b""

    server.reply = twice
    await infer(client, ROWS + 100)
    await asyncio.sleep(pause_s * 2)
    np.testing.assert_array_equal(await infer(client), ROWS * 2)
    assert server.connections == 2


async def test_an_answer_to_another_request_is_refused_and_its_connection_given_up(server, client):
    server.reply = lambda request, writer: request.doubled(id="other")
    with pytest.raises(ValueError, match="to request other, not to 0"):
        await infer(client)


async def test_an_answer_before_the_whole_request_ends_the_connection(server, client):
    """Else its other part would be read as the head of the next one."""

    async def early(reader, writer):
        await reader.read(100)
        writer.write(answer(b'{"error": "no"}', status="400 Bad Request"))
        await writer.drain()
        await asyncio.sleep(60)

    server.serve = early
    for _ in range(2):
        with pytest.raises(TritonError, match="no"):
            await infer(client, np.zeros((9, 2_000_000), np.float32))
    assert server.connections == 2


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b""], ids=["announced", "not announced"])
async def test_a_connection_that_the_server_closed_is_replaced(server, client, more):
    def last(request, writer):
        asyncio.get_running_loop().call_soon(writer.close)
        return request.doubled().replace(b"\r\nContent-Length", b"\r\n" + more + b"Content-Length", 1)

    server.reply = last
    for expected in (1, 2, 3):
        np.testing.assert_array_equal(await infer(client), ROWS * 2)
        await asyncio.sleep(0.02)
        assert server.connections == expected


async def test_a_connection_that_was_idle_for_long_is_replaced(server, client, monkeypatch):
    await infer(client)
    now = time.monotonic() + connections.KEEP_ALIVE_S + 1
    monkeypatch.setattr(connections.time, "monotonic", lambda: now)
    await infer(client)
    assert server.connections == 2


async def test_a_chunked_answer_after_an_interim_one_is_read(server, client):
    def chunked(request, writer):
        head, _, body = request.doubled().partition(b"\r\n\r\n")
        head = head[: head.index(b"\r\nContent-Length")] + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])]
        return b"HTTP/1.1 102 Processing\r\n\r\n" + head + b"".join(pieces) + b"0\r\n\r\n"

    server.reply = chunked
    for _ in range(2):
        np.testing.assert_array_equal(await infer(client), ROWS * 2)
    assert server.connections == 1


async def test_nobody_listens():
    with pytest.raises(NotConnectedError, match="127"):
        await infer(TritonClient("127.0.0.1:9"))


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"], ids=["nothing", "a part"])
async def test_a_connection_that_is_lost_before_the_answer(server, client, sent):
    def lose(request, writer):
        writer.write(sent)
        writer.close()
        return b""

    server.reply = lose
    with pytest.raises(ConnectionError) as raised:
        await infer(client)
    assert not isinstance(raised.value, NotConnectedError)


@pytest.mark.parametrize(
    ("sent", "message"),
    [(answer(b'{"error": "queue full"}', status="503 Busy"), "queue full"), (answer(b"", status="500 X"), "HTTP 500")],
    ids=["in JSON", "nothing"],
)
async def test_an_error_has_tritons_message_and_keeps_the_connection(server, client, sent, message):
    server.reply = lambda request, writer: sent if len(server.requests) == 1 else request.doubled()
    with pytest.raises(TritonError, match=message):
        await infer(client)
    await infer(client)
    assert server.connections == 1


OUTPUT = {"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}


def v2(data=b"\0\0\0\0", **other):
    return answer(json.dumps({"model_version": "1", "outputs": [{**OUTPUT, **other}]}).encode(), data)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="another protocol"),
        pytest.param(answer(b"{"), id="no JSON"),
        pytest.param(answer(b"[]"), id="a list"),
        pytest.param(answer(b"{}"), id="no outputs"),
        pytest.param(answer(b'{"outputs": []}'), id="no version"),
        pytest.param(answer(b'{"model_version": "1", "outputs": [1]}'), id="no output"),
        pytest.param(v2(b"\0\0\0"), id="a tensor that ends early"),
        pytest.param(v2(parameters={}), id="no binary tensor"),
        pytest.param(v2(parameters={"binary_data_size": -4}), id="a negative size"),
        pytest.param(v2(shape=[2]), id="another shape"),
        pytest.param(v2(shape="x"), id="a shape of words"),
        pytest.param(v2(datatype="FP8"), id="an unknown type"),
        pytest.param(v2(b"\xff\0\0\0", datatype="BYTES"), id="bytes that end early"),
        pytest.param(v2(name=[]), id="no name"),
    ],
)
async def test_what_is_not_v2_is_a_value_error(server, client, sent):
    server.reply = lambda request, writer: sent
    with pytest.raises(ValueError, match="not HTTP|not V2|ends before|unexpected end|cannot reshape|no datatype"):
        await infer(client)
