"""Clients that are slow, greedy, broken or malicious, on real sockets: each request is answered, by the table."""

import base64
import contextlib
import gzip
import json
import resource
import select
import socket

import grpc
import pytest
from corpus import scene
from image_files import encode
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from waiting import wait_for
from wire import MAX_BODY_BYTES, Answer, read_answer, request, send

V2, OWN, V1 = "/v2/models/detector/infer", "/detector/api/", "/v1/models/detector:predict"
PNG = encode(scene(), "PNG")
IMAGE = "Content-Type: image/png"
TENSOR = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(PNG).decode()]}
INFER = json.dumps({"inputs": [TENSOR]}).encode()
ZEROS, GZIP = gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"
JSON_LENGTH, TIMEOUT = "Inference-Header-Content-Length: 000000000002", "x-request-timeout-ms: "
CHUNKED = f"POST {OWN} HTTP/1.1\r\nHost: x\r\n{IMAGE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
SINGLE_BYTES = b"".join(b"1\r\n%c\r\n" % byte for byte in PNG)


def ask(server, data: bytes) -> Answer:
    with server.connect() as connection:
        send(connection, data)
        answer, rest = read_answer(connection)
    assert rest == b""
    assert answer is not None, "no answer"
    assert b"Traceback" not in answer.body
    return answer


@pytest.mark.parametrize(
    ("status", "data"),
    [
        pytest.param(503, request(OWN, PNG, IMAGE), id="well-formed"),
        pytest.param(503, request(V1, PNG, IMAGE), id="well-formed V1"),
        pytest.param(503, request(V2, INFER), id="well-formed V2"),
        pytest.param(503, request(OWN, PNG, IMAGE, version="1.0"), id="HTTP/1.0"),
        pytest.param(503, request(OWN, PNG, IMAGE, "Expect: nothing"), id="an expectation"),
        pytest.param(503, CHUNKED + SINGLE_BYTES + b"0\r\n\r\n", id="chunks of a byte"),
        pytest.param(413, request(OWN, bytes(MAX_BODY_BYTES + 1), IMAGE), id="a byte too many"),
        pytest.param(413, CHUNKED + b"100000\r\n" + bytes(2**20) + b"\r\n200000\r\n" + bytes(2**21), id="chunked"),
        pytest.param(413, request(OWN).replace(b"Length: 0", b"Length: 99999999999"), id="a declared terabyte"),
        pytest.param(400, request(OWN).replace(b"Length: 0", b"Length: " + b"9" * 5000), id="a length of 5000 digits"),
        pytest.param(400, request(OWN).replace(b"Length: 0", b"Length: -1"), id="a negative length"),
        pytest.param(400, request(OWN, b"", "Content-Length: 5"), id="two lengths"),
        pytest.param(400, request(OWN, b"", "Transfer-Encoding: chunked"), id="a length and chunks"),
        pytest.param(400, CHUNKED + b"zz\r\n", id="a chunk without a size"),
        pytest.param(408, request(OWN, PNG, IMAGE).replace(b"Length: ", b"Length: 1"), id="a body cut short"),
        pytest.param(413, request(OWN, ZEROS, IMAGE, GZIP), id="gzip bomb"),
        pytest.param(413, request(V2, ZEROS, GZIP), id="gzip bomb, V2"),
        pytest.param(400, request(V2, b"{}   ", JSON_LENGTH + "0" * 5000), id="digits"),
        pytest.param(503, request(OWN, PNG, IMAGE, "traceparent: \xff" + "x" * 5000), id="a trace of rubbish"),
        pytest.param(400, request(OWN, PNG, IMAGE, TIMEOUT + "9" * 5000 + "x"), id="a timeout of rubbish"),
        pytest.param(400, request(V2, b'{"inputs":' + b"[" * 9000), id="depth"),
        pytest.param(413, request(V2, b'{"inputs":' + b"[]," * 200_000), id="lists"),
        pytest.param(400, request("/", b"", *["X-A: " + "a" * 8000] * 40, method="GET"), id="headers of 320 KB"),
        pytest.param(404, request("/x", b"", "Connection: Upgrade", "Upgrade: websocket", method="GET"), id="upgrade"),
        pytest.param(404, request("/v2/../../etc/passwd", method="GET"), id="dots"),
        pytest.param(404, request("/v2/models/%2e%2e%2fanomaly", method="GET"), id="encoded dots"),
        pytest.param(404, request("/v2/models/..%5c..%5cx", method="GET"), id="backslashes"),
        pytest.param(404, request("//v2//models", method="GET"), id="double slashes"),
        pytest.param(404, request("/%00%ff%fe", method="GET"), id="not UTF-8, encoded"),
        pytest.param(400, request("/\xff\xfe", method="GET"), id="not UTF-8"),
        pytest.param(404, request("/v2/models/" + "a" * 30_000, method="GET"), id="a long path"),
        pytest.param(404, request("/v2/models/detector%0d%0aX:%201/infer", INFER), id="a line break in a name"),
        pytest.param(400, request("/", method="BREW"), id="a method that is none"),
        pytest.param(400, b"CONNECT example.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n", id="a proxy's request"),
        pytest.param(400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(405, request("/v2/health/live"), id="POST to a GET route"),
        pytest.param(404, request("/v2/repository/index"), id="model management"),
        pytest.param(404, request("/redoc", method="GET"), id="the SDK's documents"),
    ],
)  # fmt: skip
def test_one_request_one_answer(server, status, data):
    answer = ask(server, data)
    assert answer.status == status, answer.body
    assert 10 < len(answer.error) < 310


def test_pipelined_requests_are_answered_in_order(server):
    paths = ["/v2/health/live", "/nothing", OWN, "/v2/health/live"] * 25
    with server.connect() as connection:
        send(connection, b"".join(request(p, PNG, IMAGE) if p == OWN else request(p, method="GET") for p in paths))
        answers, rest = [], b""
        for _ in paths:
            answer, rest = read_answer(connection, rest)
            answers.append(answer and answer.status)
    assert answers == [200, 404, 503, 200] * 25


def test_two_thousand_idle_connections(server):
    """Again where a busy machine took so long that they were given up."""
    wait_for(lambda: are_held(server))


def are_held(server) -> bool:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(2000, soft - 300)
    before = server.memory_bytes()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(count)]
        begun = idle[:-1:2]
        for connection in begun:
            connection.sendall(b"POST /detector/api/ HTTP/1.1\r\nHost:")
        assert ask(server, request(OWN, PNG, IMAGE)).status == 503
        given_up = select.poll()  # select takes no more than 1024
        for connection in idle:
            given_up.register(connection, select.POLLIN)
        if given_up.poll(0):
            return False
        assert server.memory_bytes() - before < count * 64 * 1024
        begun[-1].sendall(b" x\r\nContent-Length: 1\r\nContent-Type: image/png\r\n\r\nx")
        answer, _ = read_answer(begun[-1])
    return answer is not None and answer.status in (415, 503)


def test_callers_who_leave_half_way(server):
    whole = request(OWN, PNG, IMAGE)
    for part in range(1, 20):
        with server.connect() as connection:
            connection.sendall(whole[: len(whole) * part // 20])
            if part % 2:  # a reset instead of an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert ask(server, whole).status == 503
    # The fixture checks that none of this is a fault in the log.


def test_a_flood_of_large_bodies_is_bounded(server):
    """Forty callers hold all but the last byte of the largest body: what is beyond eight bodies is answered 429."""
    body = PNG + bytes(MAX_BODY_BYTES - len(PNG) - 1)
    before = server.memory_bytes()
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(server.connect()) for _ in range(40)]
        for connection in callers:
            send(connection, request(OWN, body, IMAGE)[:-1])
        # what the kernel holds for a busy server is not read yet: until then nothing is beyond eight bodies
        wait_for(lambda: len(select.select(callers, [], [], 0)[0]) >= len(callers) - 8)
        peak = server.memory_bytes() - before
        for connection in callers:
            send(connection, body[-1:])
        answers = [read_answer(connection)[0] for connection in callers]
    statuses = [answer and answer.status for answer in answers]
    assert len(statuses) == len(callers)
    assert set(statuses) <= {503, 429, 408}
    assert statuses.count(429) >= 8
    assert all(answer.headers.get("retry-after") for answer in answers if answer and answer.status == 429)
    assert peak < 3 * 8 * MAX_BODY_BYTES + 16 * 2**20
    assert ask(server, request(OWN, PNG, IMAGE)).status == 503


def call(server, data, method="ModelInfer", **options):
    with grpc.insecure_channel(
        f"127.0.0.1:{server.grpc_port}", options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        raw = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            raw(data, timeout=60, **options)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return "OK", ""


def infer(parameter="score_threshold"):
    message = pb.ModelInferRequest(model_name="detector")
    message.inputs.add(name="image", datatype="BYTES", shape=[1]).contents.bytes_contents.append(PNG)
    message.parameters[parameter].int64_param = 1
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("code", "data", "options"),
    [
        pytest.param("UNAVAILABLE", infer(), {}, id="well-formed"),
        pytest.param("INVALID_ARGUMENT", b"\xff\xff\xff", {}, id="no protobuf"),
        pytest.param("INVALID_ARGUMENT", b"\xff", {"method": "ServerLive"}, id="no protobuf, elsewhere"),
        pytest.param("NOT_FOUND", b"", {}, id="empty"),
        pytest.param("INVALID_ARGUMENT", infer("k" * 20_000), {}, id="a long name is not quoted as a whole"),
        pytest.param("RESOURCE_EXHAUSTED", bytes(MAX_BODY_BYTES * 2), {}, id="over the limit"),
        pytest.param("RESOURCE_EXHAUSTED", bytes(100_000_000), {"compression": grpc.Compression.Gzip}, id="gzip bomb"),
        pytest.param("UNIMPLEMENTED", b"", {"method": "RepositoryModelLoad"}, id="model management"),
        pytest.param("UNIMPLEMENTED", b"", {"method": "Nothing"}, id="no such method"),
    ],
)
def test_grpc(server, code, data, options):
    before = server.memory_bytes()
    found, details = call(server, data, **options)
    assert found == code, details
    assert len(details) < 310
    assert "Error" not in details
    assert server.memory_bytes() - before < 4 * MAX_BODY_BYTES + 16 * 2**20
