"""What one caller sends never changes what another caller gets."""

import json

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import encode
from PIL import Image

from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import sample_request
from modelport.samples import read_instance, sample_file
from modelport.services import choose

pytestmark = pytest.mark.stack
LENGTH = 64  # of the anomaly model's windows


@pytest.fixture
def neighbour(stack, client, repository):
    """A good request and its answer."""
    window = json.loads((repository / "anomaly" / "golden" / "windows.json").read_text())
    request = {"instances": [window]}
    answer = client.post("/v1/models/anomaly:predict", json=request)
    assert answer.status_code == 200
    return {"request": request, "answer": answer.json()}


@pytest.mark.parametrize(
    ("sample", "status"),
    [
        pytest.param(3e38, 400, id="float32 overflows in the network"),
        pytest.param(-3e38, 400, id="the same below zero"),
        pytest.param(1e30, 200, id="the largest that is taken"),
        pytest.param(-1e30, 200, id="the smallest that is taken"),
        pytest.param(1e-40, 200, id="denormal"),
    ],
)
@pytest.mark.parametrize("route", ["/v1/models/anomaly:predict", "/anomaly/predict"])
def test_extreme_samples_harm_nobody_else(client, neighbour, route, sample, status):
    key = "data" if route == "/anomaly/predict" else "instances"
    for _ in range(6):  # more than the failures in a row that make a model not ready
        answer = client.post(route, json={key: [[sample] * LENGTH] * 3})
        assert answer.status_code == status, answer.text
        assert client.get("/v2/models/anomaly/ready").status_code == 200
        again = client.post("/v1/models/anomaly:predict", json=neighbour["request"])
        assert (again.status_code, again.json()) == (200, neighbour["answer"])


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """Files of every extreme that decodes, and of many that do not: tiny, thin, empty of ink, noise, cut, changed."""
    mode = draw(st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"]))
    width, height = draw(st.tuples(st.sampled_from([1, 2, 17, 300]), st.sampled_from([1, 3, 64, 2000])))
    noise = np.random.default_rng(draw(st.integers(0, 9)))
    fill = draw(st.sampled_from([0, 255, None]))
    channels = (
        noise.integers(0, 256, (height, width), np.uint8) if fill is None else np.full((height, width), fill, "u1")
    )
    image = Image.fromarray(channels)
    image = Image.fromarray(channels.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    form = "TIFF" if mode == "CMYK" else draw(st.sampled_from(["PNG", "TIFF"]))
    content = bytearray(encode(image, form))
    for _ in range(draw(st.sampled_from([0, 0, 1, 5]))):
        content[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
    return bytes(content[: draw(st.sampled_from([len(content), len(content), len(content) // 2])) or 1])


SAMPLES = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([3.4e38, -3.4e38, 1e30, -1e30, 1e-45, -0.0, 1e300, 10**400, None, True, "1", [1.0]]),
)
WINDOWS = st.one_of(
    st.builds(lambda sample: [sample] * LENGTH, SAMPLES), st.lists(SAMPLES, min_size=LENGTH - 1, max_size=LENGTH + 1)
)


@pytest.fixture(scope="module")
def neighbours(stack):
    """For each service a good request, and the body of its answer."""
    found = {}
    with httpx.Client(base_url=stack.http, timeout=60) as client:
        for spec in choose():
            task = build_task(spec)
            request = sample_request(task, "v1", read_instance(spec, sample_file(spec)))
            answer = client.post(request.path, content=request.body, headers=dict(request.headers))
            assert answer.status_code == 200, answer.text
            found[spec.name] = request, answer.json()
    return found


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("service", [spec.name for spec in choose()])
def test_no_input_of_one_caller_changes_what_another_gets(client, neighbours, service, data):
    request, expected = neighbours[service]
    for _ in range(data.draw(st.integers(1, 4))):
        if service == "anomaly":
            body = json.dumps({"instances": data.draw(st.lists(WINDOWS, min_size=1, max_size=3))})
            answer = client.post(request.path, content=body, headers={"content-type": "application/json"})
        else:
            answer = client.post(request.path, content=data.draw(images()), headers={"content-type": "image/png"})
        assert answer.status_code in {200, 400, 413, 415, 422}, answer.text
        again = client.post(request.path, content=request.body, headers=dict(request.headers))
        assert (again.status_code, again.json()) == (200, expected)
        assert client.get(f"/v2/models/{service}/ready").status_code == 200
