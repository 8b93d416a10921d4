"""The three Python-based backends on a real Triton: many requests in one batch, one bad one alone, clean logs."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from processes import STUB, matching
from tritonclient.utils import InferenceServerException

PLATFORMS = ("onnxruntime_onnx", "pytorch_libtorch", "tensorflow_savedmodel")
TABLE = np.array([2, 3, 5, 7], np.float32)
Answer = dict[str, np.ndarray]
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def triton(new_triton, add_model, tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    for platform in PLATFORMS:
        add_model(repository, platform, platform)
        add_model(repository, platform, f"{platform}_victim")
        # a full batch goes at once: threads that come late have five minutes
        patience = ("microseconds: 300000", "microseconds: 300000000")
        add_model(repository, platform, f"{platform}_patient", replace=patience)
    server = new_triton(repository)
    server.start()
    server.wait_until_ready()
    return server


@pytest.fixture(scope="module")
def client(triton):
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{triton.settings.grpc_port}") as client:
        yield client


@pytest.fixture(params=PLATFORMS)
def platform(request):
    return request.param


@pytest.fixture
def ask(platform, client, names):
    def ask(index: np.ndarray, x: np.ndarray, model: str = platform) -> Answer:
        inputs = []
        for name, array in zip(names[platform][:2], (x, index), strict=True):
            kind = {"f": "FP32", "i": "INT32", "u": "UINT8"}[array.dtype.kind]
            inputs.append(triton_grpc.InferInput(name, array.shape, kind))
            inputs[-1].set_data_from_numpy(array)
        result = client.infer(model, inputs, client_timeout=300)
        return {key: result.as_numpy(name) for key, name in zip(("y", "rows"), names[platform][2:], strict=True)}

    return ask


def rows_of(*indices: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.array(indices, np.int32)[:, None]
    return index, np.linspace(0, 1, 4 * len(index), dtype=np.float32).reshape(-1, 4) + index.astype(np.float32)


@pytest.mark.parametrize("indices", [(3,), (0, 1, 2), (3, 3, 2, 2, 1, 1, 0, 0)], ids=lambda indices: f"{len(indices)}")
def test_batch_of_one_request_is_answered_row_by_row(ask, indices):
    index, x = rows_of(*indices)
    answer = ask(index, x)
    np.testing.assert_allclose(answer["y"], x * TABLE[index], rtol=1e-6)
    np.testing.assert_array_equal(answer["rows"], np.full_like(index, len(indices)))


def test_concurrent_requests_of_different_sizes_go_through_the_model_together(ask, platform):
    patient = f"{platform}_patient"
    requests = [rows_of(0), rows_of(1, 2), rows_of(3), rows_of(2, 1, 0), rows_of(1)]  # 8 rows: one full batch
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(lambda request: ask(*request, model=patient), requests))
    for (index, x), answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer["y"], x * TABLE[index], rtol=1e-6)
        assert len(answer["rows"]) == len(index)
    assert {int(row) for answer in answers for row in answer["rows"].ravel()} == {8}


def test_bad_request_fails_alone(ask):
    requests = [rows_of(index) for index in (0, 1, 99, 2, 3, 1, 0, 2)]

    def outcome(request: tuple[np.ndarray, np.ndarray]) -> Answer | str:
        try:
            return ask(*request)
        except InferenceServerException as error:
            return error.message()

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(outcome, requests))
    message = answers.pop(2)
    assert isinstance(message, str)
    assert "\n" not in message
    assert "Traceback" not in message
    assert outcome(requests[2]) == message, "and fails by itself, after others, as it failed among them"
    del requests[2]
    for (index, x), answer in zip(requests, answers, strict=True):
        assert isinstance(answer, dict)
        np.testing.assert_allclose(answer["y"], x * TABLE[index], rtol=1e-6)


@pytest.mark.parametrize(
    ("index", "x", "message"),
    [
        pytest.param(np.zeros((1, 2), np.int32), np.zeros((1, 4), np.float32), "shape", id="wrong shape"),
        pytest.param(np.zeros((1, 1), np.uint8), np.zeros((1, 4), np.float32), "data-type", id="wrong type"),
        pytest.param(np.zeros((9, 1), np.int32), np.zeros((9, 4), np.float32), "batch-size", id="too large a batch"),
        pytest.param(
            np.zeros((2, 1), np.int32), np.zeros((1, 4), np.float32), "batch", id="inputs of different length"
        ),
    ],
)
def test_misfit_is_refused_and_the_next_request_served(ask, index, x, message):
    with pytest.raises(InferenceServerException, match=message):
        ask(index, x)
    np.testing.assert_allclose(ask(*rows_of(1))["y"], rows_of(1)[1] * 3, rtol=1e-6)


def test_unknown_input_name_is_refused(platform, client):
    tensor = triton_grpc.InferInput("nobody", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 4), np.float32))
    with pytest.raises(InferenceServerException, match="input"):
        client.infer(platform, [tensor])


def test_killed_backend_process_answers_errors_and_leaves_the_others_alone(platform, ask, triton):
    victim = f"{platform}_victim"
    np.testing.assert_allclose(ask(*rows_of(2), model=victim)["y"], rows_of(2)[1] * 5, rtol=1e-6)
    (stub,) = matching(STUB, f"{triton.settings.repository}/{victim}/")
    stub.kill()
    with pytest.raises(InferenceServerException):
        ask(*rows_of(2), model=victim)
    np.testing.assert_allclose(ask(*rows_of(2))["y"], rows_of(2)[1] * 5, rtol=1e-6)


def test_good_requests_leave_no_line_in_the_log(ask, triton):
    before = triton.log()
    for _ in range(50):
        ask(*rows_of(0, 1, 2, 3, 0, 1, 2, 3))
    assert triton.log() == before


def test_start_says_nothing_but_what_it_does(triton):
    start = triton.log().partition("Started HTTPService")[0]
    usual = r"I\d{4} |[|+]|$|E\d{4} .*CudaDriverHelper has not been initialized"
    assert "loading" in start
    assert [line for line in start.splitlines() if not re.match(usual, line)] == []
