"""What needs a model that answers: requests that only a ready service looks into."""

from __future__ import annotations

import base64
import json
import time

import httpx
import pytest
from corpus import encode, scene

pytestmark = pytest.mark.stack

V1 = "/v1/models/digits:predict"
PNG = encode(scene((28, 28)), "PNG")
INSTANCES = {"instances": [base64.b64encode(PNG).decode()]}
JSON, PICTURE = {"content-type": "application/json"}, {"content-type": "image/png"}
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x", "ce-type": "t"}


@pytest.fixture
def client(stack):
    with httpx.Client(base_url=stack.http, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "path", "content", "headers"),
    [
        pytest.param(405, "/v1/models/digits:explain", PNG, PICTURE, id="explain"),
        pytest.param(200, V1, PNG, PICTURE | EVENT, id="a picture with a CloudEvent's headers"),
        pytest.param(200, V1, json.dumps(INSTANCES), JSON | EVENT | {"ce-contenttype": "application/json"}, id="event"),
        pytest.param(400, V1, b"", JSON | EVENT | {"ce-contenttype": "application/json"}, id="an empty event"),
        pytest.param(415, V1, PNG, PICTURE | {"content-encoding": "gzip"}, id="compressed"),
        pytest.param(400, V1, b'{"instances":["QUJD"],"' + b"k" * 5000 + b'":1}', JSON, id="a long key"),
        pytest.param(413, V1, b'{"instances":[' + b"[]," * 6_000_000 + b"[]]}", JSON, id="six million lists"),
        pytest.param(400, "/v1/models/anomaly:predict", b'{"instances":[[1e400]]}', JSON, id="infinite"),
        pytest.param(400, "/v1/models/anomaly:predict", b'{"instances":[[1e39]]}', JSON, id="infinite as float32"),
        pytest.param(400, "/v1/models/anomaly:predict", b'{"instances":[[]]}', JSON, id="an empty window"),
        pytest.param(400, "/v1/models/anomaly:predict", PNG, PICTURE, id="a picture where windows are taken"),
    ],
)
def test_v1_of_a_ready_service(client, status, path, content, headers):
    started = time.monotonic()
    response = client.post(path, content=content, headers=headers)
    assert response.status_code == status, response.text
    assert len(response.content) < 1000
    assert time.monotonic() - started < 4, "the event loop was held"
