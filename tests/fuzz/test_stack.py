"""What needs a model that answers: requests that only a ready service looks into."""

import base64
import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from corpus import scene
from image_files import encode
from PIL import Image

from kserve_transformers.arrays import decoding

pytestmark = pytest.mark.stack

V1 = "/v1/models/digits:predict"
PNG = encode(scene((28, 28)), "PNG")
INSTANCES = {"instances": [base64.b64encode(PNG).decode()]}
JSON, IMAGE = {"content-type": "application/json"}, {"content-type": "image/png"}
GZIP = {"content-encoding": "gzip"}
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "x", "ce-type": "t"}


@pytest.fixture
def client(stack):
    with httpx.Client(base_url=stack.http, timeout=60) as client:
        yield client


@pytest.fixture
def server(stack):
    """The transformer server's process."""
    port = int(stack.http.rpartition(":")[2])
    (found,) = [
        psutil.Process(connection.pid)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    ]
    return found


@pytest.mark.parametrize(
    ("status", "path", "content", "headers"),
    [
        pytest.param(200, V1, PNG, IMAGE | EVENT, id="an image with a CloudEvent's headers"),
        pytest.param(200, V1, json.dumps(INSTANCES), JSON | EVENT | {"ce-contenttype": "application/json"}, id="event"),
        pytest.param(400, V1, b"", JSON | EVENT | {"ce-contenttype": "application/json"}, id="an empty event"),
        pytest.param(413, V1, gzip.compress(bytes(50_000_000)), IMAGE | GZIP, id="gzip bomb"),
        pytest.param(400, V1, b'{"instances":["QUJD"],"' + b"k" * 5000 + b'":1}', JSON, id="a long key"),
        pytest.param(413, V1, b'{"instances":[' + b"[]," * 6_000_000 + b"[]]}", JSON, id="six million lists"),
        pytest.param(400, "/v1/models/anomaly:predict", b'{"instances":[[1e400]]}', JSON, id="infinite"),
        pytest.param(400, "/v1/models/anomaly:predict", b'{"instances":[[1e39]]}', JSON, id="infinite as float32"),
        pytest.param(400, "/v1/models/anomaly:predict", b'{"instances":[[]]}', JSON, id="an empty window"),
        pytest.param(415, "/v1/models/anomaly:predict", PNG, IMAGE, id="an image where windows are taken"),
    ],
)
def test_v1_of_a_ready_service(client, server, status, path, content, headers):
    before = sum(server.cpu_times()[:2])
    response = client.post(path, content=content, headers=headers)
    assert response.status_code == status, response.text
    assert len(response.content) < 1000
    assert sum(server.cpu_times()[:2]) - before < 4, "the event loop was held"


def test_a_flood_of_the_costliest_images_stays_within_the_budget(client, server):
    """Twelve at once; each takes 600 MB while it is decoded, but only one is at a time."""
    worst = encode(Image.new("RGBA", (8000, 5000), (200, 30, 40, 255)), "WEBP", lossless=True, method=0)
    before, peak = server.memory_info().rss, 0
    with ThreadPoolExecutor(12) as threads:
        answers = [threads.submit(client.post, V1, content=worst, headers=IMAGE) for _ in range(12)]
        while not all(answer.done() for answer in answers):
            peak = max(peak, server.memory_info().rss)
            time.sleep(0.01)
    statuses = {answer.result().status_code for answer in answers}
    assert 422 in statuses, "it was decoded, and there is no ink on it"
    assert statuses <= {422, 429, 504}
    assert peak - before < decoding.DECODING.limit + 100 * 2**20
