"""What one caller sends never changes what another caller gets."""

from __future__ import annotations

import json

import httpx
import pytest

pytestmark = pytest.mark.stack
LENGTH = 64  # of the anomaly model's windows


@pytest.fixture
def neighbour(stack, client: httpx.Client, repository) -> dict[str, object]:
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
def test_extreme_samples_harm_nobody_else(
    client: httpx.Client, neighbour: dict[str, object], route: str, sample: float, status: int
) -> None:
    key = "data" if route == "/anomaly/predict" else "instances"
    for _ in range(6):  # more than the failures in a row that make a model not ready
        answer = client.post(route, json={key: [[sample] * LENGTH] * 3})
        assert answer.status_code == status, answer.text
        assert client.get("/v2/models/anomaly/ready").status_code == 200
        again = client.post("/v1/models/anomaly:predict", json=neighbour["request"])
        assert (again.status_code, again.json()) == (200, neighbour["answer"])
