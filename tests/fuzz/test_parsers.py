"""Whatever bytes come in, the wire formats give a request or one of our errors; and what they write, they read."""

import asyncio
import base64
import json
import random
import time

import numpy as np
import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from starlette.requests import Request

from kserve_transformers.deadline import TIMEOUT_HEADER, Deadline
from kserve_transformers.errors import BadRequestError, ServingError, TooLargeError
from kserve_transformers.protocol import grpc, v2
from kserve_transformers.protocol.base64 import decode_base64
from kserve_transformers.protocol.documents import MAX_CONTAINERS, MAX_VALUES
from kserve_transformers.protocol.forms import read_image_form
from kserve_transformers.protocol.requests import LARGEST_SAMPLE, InstanceKind, ServiceRequest
from kserve_transformers.protocol.v1 import parse_v1
from kserve_transformers.routes.errors import message

fuzzed = settings(
    derandomize=True, max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
KINDS = st.sampled_from(InstanceKind)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["image", "b64", "QUJD", "QUI-", "\x00", "\ud800", "FP32", "BYTES"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["image", "b64", "window", "instances", "inputs", "x"]), inner, max_size=3),
    ),
    max_leaves=12,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["image", "window", 5, None]),
        "datatype": st.sampled_from(["BYTES", "FP32", "FP64", 1]),
        "shape": st.lists(st.integers(-2, 2**33), max_size=3) | VALUES,
        "data": VALUES,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 60) | SCALARS}) | SCALARS,
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "inputs": st.lists(TENSORS, max_size=2) | VALUES,
        "outputs": VALUES,
        "parameters": st.dictionaries(st.text(max_size=5), VALUES, max_size=2) | VALUES,
        "instances": st.lists(VALUES, max_size=3) | VALUES,
    },
)
# Python's JSON, with NaN, Infinity, huge numbers and lone surrogates.
BODIES = st.binary(max_size=200) | REQUESTS.map(lambda document: json.dumps(document).encode())


def is_refused_or_parsed(parse):
    """Run a parser; what it raises must be ours, and say something short."""
    try:
        request = parse()
    except ServingError as error:
        request, refusal = None, error
    else:
        refusal = None
    if refusal is not None:
        assert type(refusal) is not ServingError
        assert 10 < len(message(refusal)) < 310
    return request


@fuzzed
@given(st.text(max_size=120) | st.from_regex(r"(data:[a-z/]*(;base64)?,)?[A-Za-z0-9+/=_ -]*", fullmatch=True))
def test_base64_of_any_text(text):
    decoded = is_refused_or_parsed(lambda: decode_base64(text))
    assert decoded is None or isinstance(decoded, bytes)


@fuzzed
@given(st.binary(max_size=200), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes]))
def test_base64_there_and_back(data, encode):
    assert decode_base64(encode(data).decode()) == data


@fuzzed
@given(KINDS, BODIES, st.sampled_from(["application/json", "image/png", "", "text/plain", "\xff"]))
@example(InstanceKind.WINDOW, b'{"instances":[[' + b"9" * 400 + b"]]}", "application/json")
@example(InstanceKind.IMAGE, b'{"instances":["' + b"k" * 4000 + b'"],"' + b"k" * 4000 + b'":1}', "application/json")
def test_v1_of_any_body(kind, body, content_type):
    request = is_refused_or_parsed(lambda: parse_v1(kind, body, {"content-type": content_type}))
    if request is not None:
        holds_instances(kind, request)


def holds_instances(kind, request: ServiceRequest):
    assert request.instances
    for instance in request.instances:
        if kind is InstanceKind.IMAGE:
            assert isinstance(instance, bytes)
        else:
            assert instance.dtype == np.float32
            assert instance.ndim == 1
            assert np.isfinite(instance).all()


@fuzzed
@given(KINDS, BODIES, st.binary(max_size=60), st.none() | st.integers(-5, 300).map(str) | st.text(max_size=9))
@example(InstanceKind.IMAGE, b"{}   ", b"", "000000000002" + "0" * 5000)
@example(InstanceKind.IMAGE, b"{}   ", b"", "²")
@example(
    InstanceKind.WINDOW, b'{"inputs":[{"name":"window","datatype":"FP32","shape":[2147483647,0],"data":[]}]}', b"", None
)
def test_v2_of_any_body(kind, document, binary, length):
    length = str(len(document)) if length == "0" else length
    parsed = is_refused_or_parsed(lambda: v2.parse_infer_request(kind, document + binary, length))
    if parsed is not None:
        holds_instances(kind, parsed.request)


@fuzzed
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.text(st.characters(codec="utf-8"), max_size=9))
def test_v2_images_there_and_back(images, request_id):
    binary = v2.join_bytes(images)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)]}
    header = orjson.dumps({"id": request_id, "inputs": [tensor | {"parameters": {"binary_data_size": len(binary)}}]})
    parsed = v2.parse_infer_request(InstanceKind.IMAGE, header + binary, str(len(header)))
    texts = [base64.b64encode(image).decode() for image in images]
    as_json = v2.parse_infer_request(InstanceKind.IMAGE, orjson.dumps({"inputs": [tensor | {"data": texts}]}), None)
    assert parsed.request.instances == as_json.request.instances == tuple(images)
    assert parsed.id == request_id


LARGEST = float(np.float32(LARGEST_SAMPLE))


@fuzzed
@given(st.lists(st.lists(st.floats(-LARGEST, LARGEST, width=32), min_size=3, max_size=3), min_size=1))
def test_v2_windows_there_and_back(windows):
    array = np.array(windows, np.float32)
    tensor = {"name": "window", "datatype": "FP32", "shape": list(array.shape)}
    raw = array.tobytes()
    header = orjson.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}]})
    parsed = v2.parse_infer_request(InstanceKind.WINDOW, header + raw, str(len(header)))
    np.testing.assert_array_equal(np.stack(parsed.request.instances), array)


def grpc_request(kind, shape, raws, texts, numbers, parameters):
    request = pb.ModelInferRequest(model_name="x", raw_input_contents=raws)
    tensor = request.inputs.add(
        name=kind.value, datatype="BYTES" if kind is InstanceKind.IMAGE else "FP32", shape=shape
    )
    if texts or numbers:
        tensor.contents.bytes_contents.extend(texts)
        tensor.contents.fp32_contents.extend(numbers)
    for name, value in parameters.items():
        request.parameters[name].CopyFrom(value)
    return request


# InferParameters whose field 4, a double in Triton's proto, is of another wire type.
NO_DOUBLES = tuple(pb.InferParameter.FromString(raw) for raw in (b"\x22\x01a", b"\x20\x01", b"\x25\0\0\0\0"))

PARAMETERS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=9),
    st.one_of(
        st.builds(pb.InferParameter, bool_param=st.booleans()),
        st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1)),
        st.binary(min_size=8, max_size=8).map(lambda raw: pb.InferParameter.FromString(b"\x21" + raw)),
        st.just(pb.InferParameter()),
        st.sampled_from(NO_DOUBLES),
    ),
    max_size=2,
)


@fuzzed
@given(
    st.builds(
        grpc_request,
        KINDS,
        st.lists(st.integers(-1, 4) | st.just(2**31 - 1), max_size=3),
        st.lists(st.binary(max_size=40), max_size=2),
        st.lists(st.binary(max_size=9), max_size=4),
        st.lists(st.floats(width=32), max_size=4),
        PARAMETERS,
    ),
    KINDS,
)
@example(grpc_request(InstanceKind.WINDOW, [2**31 - 1, 0], [], [], [], {}), InstanceKind.WINDOW)
def test_grpc_of_any_message(request, kind):
    parsed = is_refused_or_parsed(lambda: grpc.parse_infer_request(kind, request))
    if parsed is not None:
        holds_instances(kind, parsed)


@pytest.mark.parametrize("parameter", NO_DOUBLES)
def test_a_double_of_another_wire_type_is_refused(parameter):
    request = grpc_request(InstanceKind.IMAGE, [1], [v2.join_bytes([b"a"])], [], [], {"score_threshold": parameter})
    with pytest.raises(BadRequestError, match="no value of a known type"):
        grpc.parse_infer_request(InstanceKind.IMAGE, request)


def test_grpc_of_damaged_messages():
    dice, parsed = random.Random(5), 0
    whole = grpc_request(InstanceKind.IMAGE, [2], [v2.join_bytes([b"ab", b"cd"])], [], [], {}).SerializeToString()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            request = pb.ModelInferRequest.FromString(bytes(data))
        except DecodeError:
            continue  # the server answers INVALID_ARGUMENT
        parsed += (
            is_refused_or_parsed(lambda request=request: grpc.parse_infer_request(InstanceKind.IMAGE, request))
            is not None
        )
    assert parsed > 50


def read_form(body, content_type):
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive():
        return next(sent)

    headers = [(b"content-type", content_type.encode("latin-1", "replace"))]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "app": None}
    return asyncio.run(read_image_form(Request(scope, receive)))


PART = 'Content-Disposition: form-data; name="{}"; filename="{}"\r\nContent-Type: {}\r\n\r\n{}\r\n'
FORMS = st.lists(
    st.builds(
        PART.format,
        st.sampled_from(["file", "image", "x", "", "\xff", 'a"b']),
        st.text(max_size=9),
        st.sampled_from(["image/png", "", "\x00", "multipart/mixed"]),
        st.text(max_size=20),
    ),
    max_size=6,
).map(lambda parts: "".join(f"--x\r\n{part}" for part in parts) + "--x--\r\n")
CHARSETS = (
    "",
    "; charset=undefined",
    "; charset=idna",
    "; charset=nonsense",
    "; charset=zlib",
    "; charset=\xff",
    "; charset=utf-7",
)


@settings(fuzzed, max_examples=120)
@given(
    FORMS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200),
    st.sampled_from(
        [
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            'multipart/form-data; boundary="',
            "image/png",
            "application/json",
            "text/x",
        ]
    ),
    st.sampled_from(CHARSETS),
)
@example(
    b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nabc\r\n--x--\r\n',
    "multipart/form-data; boundary=x",
    "; charset=undefined",
)
def test_forms_of_any_body(body, content_type, charset):
    form = is_refused_or_parsed(lambda: read_form(body, content_type + charset))
    assert form is None or isinstance(form.image, bytes)


@fuzzed
@given(st.binary(max_size=300))
def test_a_form_gives_back_its_file(data):
    if b"--boundary" in data:
        return
    body = (
        b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        + data
        + b"\r\n--boundary--\r\n"
    )
    assert read_form(body, "multipart/form-data; boundary=boundary").image == data


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}", TooLargeError, id="depth"),
        pytest.param(b'{"instances":' + b"[" * 5000 + b"]" * 5000 + b"}", BadRequestError, id="depth within the count"),
        pytest.param(b'{"instances":[' + b"[]," * MAX_CONTAINERS + b"[]]}", TooLargeError, id="lists"),
        pytest.param(b'{"instances":[' + b"0," * MAX_VALUES + b"0,0]}", TooLargeError, id="values"),
        pytest.param(b'{"instances":[NaN]}', BadRequestError, id="NaN"),
        pytest.param(b'{"instances":[[1e400]]}', BadRequestError, id="infinite"),
        pytest.param(b'{"instances":["\\ud800"]}', BadRequestError, id="lone surrogate"),
        pytest.param(b'{"instances":["QQ==\\u0000"]}', BadRequestError, id="null byte"),
        pytest.param(b'{"instances":["\xff"]}', BadRequestError, id="not UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"instances":["QUJD"]}', BadRequestError, id="byte order mark"),
        pytest.param(b'{"instances":["QUJD"],"instances":[]}', BadRequestError, id="duplicate key, the last counts"),
    ],
)
def test_json_bombs_and_oddities(body, error):
    with pytest.raises(error):
        parse_v1(InstanceKind.IMAGE, body, {"content-type": "application/json"})
    document = body.replace(b"instances", b"inputs")
    with pytest.raises(error):
        v2.parse_infer_request(InstanceKind.IMAGE, document, None)


@fuzzed
@given(st.text(max_size=30) | st.integers(0, 10**6000).map(lambda number: "9" * (number % 5000)))
def test_the_timeout_header_of_any_text(text):
    deadline = is_refused_or_parsed(lambda: Deadline.of_request({TIMEOUT_HEADER: text}, 30))
    assert deadline is None or deadline.at <= time.monotonic() + 30
