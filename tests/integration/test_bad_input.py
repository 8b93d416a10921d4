"""Every kind of bad input, on every route, gives the answer of the table: a status, and what to do."""

import base64
import gzip

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from grpc import StatusCode
from image_files import encode
from PIL import Image
from tritonclient.utils import InferenceServerException

V1, V2, OWN = "/v1/models/detector:predict", "/v2/models/detector/infer", "/detector/api/"
JSON, FORM = {"content-type": "application/json"}, {"content-type": "multipart/form-data"}
GZIP, BROTLI, LATE = {"content-encoding": "gzip"}, {"content-encoding": "br"}, "x-request-timeout-ms"
JPEG, TEXT = {"content-type": "image/jpeg"}, {"content-type": "text/plain"}


def png(size, mode="1"):
    return encode(Image.new(mode, size), "PNG")


def b64(data):
    return base64.b64encode(data).decode()


SMALL = png((8, 8))
IMAGE, NO_IMAGE = b64(SMALL), b64(b"plain text")
BOMB = png((20_000, 20_000))  # 400 megapixels in 50 KB


@pytest.mark.parametrize(
    ("status", "path", "request_"),
    [
        pytest.param(400, V1, {"content": b"{", "headers": JSON}, id="V1 not json"),
        pytest.param(400, V1, {"json": {"instances": []}}, id="V1 no instance"),
        pytest.param(400, V1, {"json": {"instances": ["*"]}}, id="V1 damaged base64"),
        pytest.param(400, V1, {"content": b"", "headers": JPEG}, id="V1 empty body"),
        pytest.param(400, V1, {"content": SMALL[:40], "headers": JPEG}, id="V1 cut off"),
        pytest.param(415, V1, {"content": b"<svg/>", "headers": JPEG}, id="V1 svg"),
        pytest.param(413, V1, {"content": BOMB, "headers": JPEG}, id="V1 bomb"),
        pytest.param(413, V1, {"content": bytes(21 * 2**20), "headers": JPEG}, id="V1 body"),
        pytest.param(413, V1, {"json": {"instances": [b64(SMALL)] * 33}}, id="V1 instances"),
        pytest.param(400, V1, {"json": {"instances": [IMAGE], "parameters": {"score_threshold": 2}}}, id="threshold"),
        pytest.param(400, V1, {"json": {"instances": [IMAGE], "parameters": {"nms": 1}}}, id="V1 unknown option"),
        pytest.param(400, V1, {"content": SMALL, "headers": JPEG | {LATE: "soon"}}, id="timeout header"),
        pytest.param(504, V1, {"content": SMALL, "headers": JPEG | {LATE: "1"}}, id="too late"),
        pytest.param(404, "/v1/models/boats:predict", {"json": {"instances": [b64(SMALL)]}}, id="V1 no such service"),
        pytest.param(404, "/v2/models/boats/infer", {"json": {"inputs": []}}, id="V2 no such service"),
        pytest.param(400, V2, {"json": {"inputs": []}}, id="V2 no input"),
        pytest.param(400, V2, {"content": b"\x00" * 10}, id="V2 rubbish"),
        pytest.param(400, V2, {"content": b"{}", "headers": GZIP}, id="V2 not the gzip that it is said to be"),
        pytest.param(413, V2, {"content": gzip.compress(bytes(21 * 2**20)), "headers": GZIP}, id="V2 gzip bomb"),
        pytest.param(415, V2, {"content": b"{}", "headers": BROTLI}, id="V2 in another coding"),
        pytest.param(404, "/v2/models/detector/versions/9/infer", {"json": {"inputs": []}}, id="V2 no such version"),
        pytest.param(400, V2, {"json": {"inputs": [], "score_threshold": 0.5}}, id="V2 option in the wrong place"),
        pytest.param(400, f"{OWN}?treshold=0.5", {"content": SMALL, "headers": JPEG}, id="misspelt in the query"),
        pytest.param(400, f"{V1}?score_threshold=2", {"content": SMALL, "headers": JPEG}, id="threshold in the query"),
        pytest.param(400, OWN, {"json": {"image": IMAGE, "treshold": 0.5}}, id="misspelt option"),
        pytest.param(400, OWN, {"json": {"image": IMAGE, "parameters": {"nms": 1}}}, id="nested option"),
        pytest.param(400, OWN, {"files": [("file", SMALL), ("file", SMALL)]}, id="form with two files"),
        pytest.param(404, "/v1/models/detector:explain", {"json": {}}, id="explain"),
        pytest.param(400, OWN, {"json": {"id": "1"}}, id="legacy route without image"),
        pytest.param(400, OWN, {"json": {"id": "1", "image": 5}}, id="legacy route with a number"),
        pytest.param(415, OWN, {"json": {"id": "1", "image": NO_IMAGE}}, id="legacy route with base64 of a text"),
        pytest.param(415, OWN, {"content": b"hello", "headers": TEXT}, id="legacy route with text"),
        pytest.param(400, OWN, {"files": {"photo": SMALL}}, id="form with another field"),
        pytest.param(400, OWN, {"content": b"--x", "headers": FORM}, id="form without a boundary"),
        pytest.param(405, "/v2/health/ready", {"json": {}}, id="POST to a GET route"),
        pytest.param(404, "/v2/repository/models/detector/unload", {"json": {}}, id="model management"),
    ],
)  # fmt: skip
def test_the_table(client, status, path, request_):
    response = client.post(path, **request_)
    assert response.status_code == status, response.text
    document = response.json()
    assert list(document) == ["error"]
    assert 10 < len(document["error"]) < 300
    assert "Traceback" not in response.text
    assert "/" not in document["error"].replace("image/", "").replace("/v2/models", "").replace("GET /", "").replace(
        "multipart/", ""
    )


@pytest.mark.parametrize(
    ("code", "model", "tensor"),
    [
        (StatusCode.NOT_FOUND, "boats", np.array([SMALL], object)),
        (StatusCode.INVALID_ARGUMENT, "detector", np.array([b"no image"], object)),
        (StatusCode.INVALID_ARGUMENT, "detector", np.array([b""], object)),
        (StatusCode.INVALID_ARGUMENT, "detector", np.array([BOMB], object)),
        (StatusCode.INVALID_ARGUMENT, "detector", np.array([SMALL] * 33, object)),
        (StatusCode.RESOURCE_EXHAUSTED, "detector", np.array([bytes(21 * 2**20)], object)),
    ],
)
def test_grpc_codes(stack, code, model, tensor):
    with triton_grpc.InferenceServerClient(stack.grpc) as triton:
        infer_input = triton_grpc.InferInput("image", list(tensor.shape), "BYTES")
        infer_input.set_data_from_numpy(tensor)
        with pytest.raises(InferenceServerException) as raised:
            triton.infer(model, [infer_input])
    assert raised.value.status() == str(code)
    assert "Traceback" not in raised.value.message()


def test_the_server_is_well_after_all_this(client):
    report = client.get("/v2/health/ready").json()
    assert report["services"]["detector"]["ready"], report
