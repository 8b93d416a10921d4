"""An int8 network serves where it proves itself; otherwise the artefact beside it does, and the log says why."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from int8_networks import OFF, add_int8
from toy_model import WEIGHTS, add_model

from exporters.files import content_sha256
from exporters.quantising import golden_set

BATCH = np.array([[1, 2], [-3, 0.5]], np.float32)
Change = Callable[[Path], object]


@pytest.fixture
def backend(distribution, monkeypatch):
    """triton/backends/int8.py, which finds its modules as in a stub."""
    monkeypatch.syspath_prepend(distribution.backends / "python")
    import int8

    return int8


def load(backend: ModuleType, int8: Path) -> object:
    from modelport_backend import TensorSpec

    specs = TensorSpec("x__0", "float32", (2,)), TensorSpec("y__0", "float32", (3,))
    return backend.Int8Network(int8, 1, specs[:1], specs[1:], batches=True)


def flipped(name: str, proven: bool = False) -> Change:
    """Change the last byte of a file, or cut it; proven: proof.json names the changed file."""

    def change(int8: Path) -> None:
        content = (int8 / name).read_bytes()
        (int8 / name).write_bytes(content[: len(content) // 2] if proven else content[:-1] + b"~")
        if proven:
            files = json.loads((int8 / "proof.json").read_text())["files"]
            stated(files={**files, name: content_sha256(int8 / name)})(int8)

    return change


def stated(**entries: object) -> Change:
    def change(int8: Path) -> None:
        proof = json.loads((int8 / "proof.json").read_text())
        (int8 / "proof.json").write_text(json.dumps({**proof, **entries}))

    return change


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_network_that_gives_the_golden_answers_is_served(backend, tmp_path, wrong):
    network = load(backend, add_int8(add_model(tmp_path), wrong))
    assert network.passed == f"{10 - wrong} of 10 golden answers are right on this processor"
    np.testing.assert_allclose(network.run({"x__0": BATCH})["y__0"], BATCH @ WEIGHTS + OFF, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *(
            pytest.param(flipped(name), f"{name} is not the file that was proven", id=f"another {name}")
            for name in ("model.xml", "model.bin", "golden.npz")
        ),
        pytest.param(flipped("model.xml", proven=True), r"BackendError: OpenVINO cannot load", id="a damaged network"),
        pytest.param(flipped("golden.npz", proven=True), r"cannot be used \(BadZipFile", id="a damaged golden set"),
        pytest.param(lambda int8: (int8 / "model.bin").unlink(), r"\(FileNotFoundError", id="no weights"),
        pytest.param(lambda int8: (int8 / "proof.json").unlink(), r"\(FileNotFoundError", id="no proof"),
        pytest.param(lambda int8: (int8 / "proof.json").write_text("{"), r"\(JSONDecodeError", id="a damaged proof"),
        pytest.param(lambda int8: (int8 / "proof.json").write_text("[]"), r"\(TypeError", id="a list for a proof"),
        pytest.param(lambda int8: (int8 / "proof.json").write_bytes(b"\xff"), r"\(UnicodeDecodeError", id="no text"),
        pytest.param(stated(files={}), r"\(KeyError", id="no digests"),
        pytest.param(stated(golden=None), r"\(TypeError", id="no golden set"),
        pytest.param(stated(golden={"decision": "taste"}), "an unknown decision 'taste'", id="an unknown decision"),
        pytest.param(stated(golden={"decision": "class", "output": "y__0"}), r"\(KeyError: 'allowed'", id="no bound"),
    ],
)
def test_what_is_not_as_it_was_proven_is_refused(backend, tmp_path, change, reason):
    int8 = add_int8(add_model(tmp_path))
    change(int8)
    with pytest.raises(backend.Int8Error, match=reason):
        load(backend, int8)


@pytest.mark.parametrize(("wrong", "allowed"), [(1, 0), (2, 1), (10, 9)])
def test_more_wrong_golden_answers_than_allowed_are_refused(backend, tmp_path, wrong, allowed):
    reason = f"{wrong} of 10 golden answers are wrong on this processor, {allowed} may be"
    with pytest.raises(backend.Int8Error, match=reason):
        load(backend, add_int8(add_model(tmp_path), wrong, allowed))


def test_stored_images_are_restored_as_they_were_chosen(backend):
    images = np.random.default_rng(7).integers(0, 256, (2, 416, 300, 3), np.uint8)
    stored = golden_set.reduced(images)
    assert max(stored.shape[1:3]) <= golden_set.STORED_PIXELS
    restored = backend.restored(stored, (416, 300, 3))
    np.testing.assert_array_equal(restored, golden_set.restored(stored, (416, 300, 3)))
    np.testing.assert_array_equal(restored[:, ::4, ::4], stored)


@pytest.mark.parametrize(
    ("decision", "outputs", "changed"),
    [
        pytest.param(
            golden_set.Decision("class", "y"),
            {"y": [[0.1, 0.9], [0.6, 0.4]]},
            {"y": [[0.2, 0.8], [0.4, 0.6]]},
            id="class",
        ),
        pytest.param(
            golden_set.Decision("above", "mae", 0.5), {"mae": [[0.4], [0.6]]}, {"mae": [[0.49], [0.49]]}, id="threshold"
        ),
        pytest.param(
            golden_set.Decision("box", "scores"),
            {"boxes": [[[0, 0, 0.5, 0.5]]] * 2, "classes": [[3]] * 2, "scores": [[0.9]] * 2},
            {"boxes": [[[0, 0, 0.5, 0.59]], [[0, 0, 0.5, 0.7]]], "classes": [[3]] * 2, "scores": [[0.9]] * 2},
            id="box",
        ),
        pytest.param(
            golden_set.Decision("box", "scores"),
            {"boxes": [[[0, 0, 0.5, 0.5]]] * 2, "classes": [[3]] * 2, "scores": [[0.9]] * 2},
            {"boxes": [[[0, 0, 0.5, 0.5]]] * 2, "classes": [[3], [4]], "scores": [[0.9]] * 2},
            id="class of a box",
        ),
    ],
)
def test_the_backend_and_the_exporter_decide_alike(backend, decision, outputs, changed):
    old, new = ({name: np.array(values) for name, values in one.items()} for one in (outputs, changed))
    assert backend.differs(decision.stated(), new, decision.expected(old)).tolist() == [False, True]
    assert decision.agree(old, new).tolist() == [True, False]


def test_triton_serves_int8_or_fp32_and_says_so(new_triton, tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    for name, platform, wrong in (
        ("onnx", "onnxruntime_onnx", 0),
        ("torch", "pytorch_libtorch", 0),
        ("saturating", "onnxruntime_onnx", 5),
    ):
        add_int8(add_model(repository, platform, name), wrong)
    triton = new_triton(repository)
    triton.start()
    triton.wait_until_ready()
    said = {"saturating": "serves fp32, not int8: 5 of 10 golden answers are wrong on this processor, 1 may be"}
    tensor = triton_grpc.InferInput("x__0", BATCH.shape, "FP32")
    tensor.set_data_from_numpy(BATCH)
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{triton.settings.grpc_port}") as client:
        for name in ("onnx", "torch", "saturating"):
            answer = client.infer(name, [tensor]).as_numpy("y__0")
            np.testing.assert_allclose(answer, BATCH @ WEIGHTS + (0 if name in said else OFF), rtol=1e-5)
            assert f"model {name} 2 {said.get(name, 'serves int8: 10 of 10')}" in triton.log()
