"""A quantised model in a real stack: int8 serves and says so; one that is not what was proven gives way to fp32."""

import json
import shutil
import signal

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http
from frameworks import run_script
from waiting import wait_for

from exporters.samples import sample_image
from modelport.services import choose
from modelport.stack.stack import Stack, StackSettings

pytestmark = pytest.mark.slow


@pytest.fixture
def quantised(exported, free_ports, tmp_path):
    repository = tmp_path / "repository"
    shutil.copytree("model_repository/mnist", repository / "mnist")
    run_script("quantise", "quantise_digits.py", repository)
    running = Stack(StackSettings(choose("digits"), *free_ports(5), repository=repository, logs=tmp_path / "logs"))
    running.start()
    yield running
    running.stop(signal.SIGINT)


def state(stack: Stack) -> dict[str, str]:
    report = httpx.get(f"http://127.0.0.1:{stack.settings.http_port}/v2/health/ready", timeout=60).json()
    return report["services"]["digits"]["models"]["mnist"]


def answer(stack: Stack) -> np.ndarray:
    sample = sample_image("mnist", "images")[np.newaxis]
    tensor = triton_http.InferInput("images", list(sample.shape), "UINT8").set_data_from_numpy(sample)
    with triton_http.InferenceServerClient(f"127.0.0.1:{stack.settings.triton_http_port}") as client:
        return client.infer("mnist", [tensor]).as_numpy("probabilities")[0]


def test_int8_serves_until_it_is_no_longer_what_was_proven(quantised):
    int8 = next(quantised.settings.repository.glob("mnist/*/int8"))
    expected = [
        np.array(json.loads(path.read_text())["outputs"]["probabilities"]["values"])
        for path in (int8 / "answer.json", int8.parent.parent / "golden" / "answer.json")
    ]
    assert (state(quantised)["ready"], state(quantised)["precision"]) == (True, "int8")
    np.testing.assert_allclose(answer(quantised), expected[0], atol=0.005)

    weights = bytearray((int8 / "model.bin").read_bytes())
    weights[len(weights) // 2] ^= 0x40
    (int8 / "model.bin").write_bytes(weights)
    quantised.triton.replace_model("mnist")
    wait_for(lambda: state(quantised).get("precision") == "fp32" and state(quantised)["ready"])
    np.testing.assert_allclose(answer(quantised), expected[1], atol=1e-5)
    assert "serves fp32, not int8: model.bin is not the file that was proven" in quantised.triton.log()
