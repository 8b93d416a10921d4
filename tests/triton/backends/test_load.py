"""A config.pbtxt that does not fit its artefact is refused when Triton starts, with a line that says what differs."""

import shutil
from pathlib import Path

import pytest

from modelport.stack.errors import StartError

ONNX, TORCH, TENSORFLOW = "onnxruntime_onnx", "pytorch_libtorch", "tensorflow_savedmodel"
Y_0 = 'y__0" data_type: TYPE_FP32 dims: [ {} ]'
MISFITS = {
    "wrong_name": (ONNX, ('"y"', '"z"'), "config.pbtxt names output 'z', the artefact has ['rows', 'y']"),
    "wrong_dtype": (ONNX, ("TYPE_INT32", "TYPE_INT64"), "input 'index': int64 in config.pbtxt, int32 in the artefact"),
    "wrong_dims": (ONNX, ("[ 4 ]", "[ 5 ]"), "input 'x': dims [5] in config.pbtxt, [4] in the artefact"),
    "strings": (ONNX, ("TYPE_FP32", "TYPE_STRING"), "tensor 'x': TYPE_STRING is not supported"),
    "bad_threads": (ONNX, ('string_value: "1"', 'string_value: "many"'), "parameter intra_op_thread_count is 'many'"),
    "no_index": (TORCH, ("y__0", "y"), "output 'y' must be written NAME__INDEX"),
    "wrong_index": (TORCH, ("y__0", "y__2"), "output indices must run from 0 to 1"),
    "wrong_torch_dims": (
        TORCH,
        (Y_0.format(4), Y_0.format(5)),
        "output 'y__0': dims [5] in config.pbtxt, [4] in the artefact",
    ),
    "wrong_torch_dtype": (
        TORCH,
        ("TYPE_INT64", "TYPE_INT32"),
        "output 'rows__1': int32 in config.pbtxt, int64 in the artefact",
    ),
    "wrong_tensorflow_name": (TENSORFLOW, ('"index"', '"place"'), "config.pbtxt names input 'place'"),
    "wrong_tensorflow_dtype": (TENSORFLOW, ("TYPE_INT64", "TYPE_FP64"), "output 'rows': float64 in config.pbtxt"),
}
DAMAGED = {
    "damaged_onnx": (ONNX, "ONNX Runtime cannot load model.onnx"),
    "damaged_saved_model": (TENSORFLOW, "OpenVINO cannot load model.savedmodel"),
}


def damage(artefact: Path) -> None:
    """Replace the link to a good artefact by a copy that has lost its second half."""
    good = artefact.resolve()
    artefact.unlink()
    if good.is_dir():
        shutil.copytree(good, artefact)
        damage_file(artefact / "saved_model.pb")
    else:
        shutil.copy(good, artefact)
        damage_file(artefact)


def damage_file(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.fixture(scope="module")
def failed(new_triton, add_model, tmp_path_factory):
    """A Triton that did not start, for every reason at once."""
    repository = tmp_path_factory.mktemp("repository")
    for name, (platform, replace, _) in MISFITS.items():
        add_model(repository, platform, name, replace)
    for name, (platform, _) in DAMAGED.items():
        artefact = add_model(repository, platform, name)
        damage(artefact)
    add_model(repository, ONNX, "missing").unlink()
    server = new_triton(repository)
    server.start()
    with pytest.raises(StartError, match=r"Triton ended while starting .*log: .*triton\.log"):
        server.wait_until_ready()
    return server


@pytest.mark.parametrize(
    ("model", "message"),
    [
        *((name, message) for name, (_, _, message) in MISFITS.items()),
        *DAMAGED.items(),
        ("missing", "version 1 has no model.onnx: run `make export`"),
    ],
)
def test_misfit_is_named(failed, model, message):
    expected = message if isinstance(message, str) else message[1]
    reasons = [line for line in failed.errors(last=100) if f"'{model}'" in line]
    assert reasons
    assert expected in reasons[-1]
    assert "At:" not in reasons[-1]


def test_torchscript_that_cannot_be_converted_is_named_before_triton_starts(new_triton, add_model, tmp_path):
    damage(add_model(tmp_path, TORCH, "damaged"))
    add_model(tmp_path, TORCH, "wrong_inputs", ("INT32 dims: [ 1 ]", "INT32 dims: [ 3 ]"))
    add_model(tmp_path, TORCH, "right")
    with pytest.raises(StartError) as refused:
        new_triton(tmp_path).start()
    for name in ("damaged", "wrong_inputs"):
        assert f"{name}: model.pt cannot be converted for OpenVINO (" in str(refused.value)
    assert "right" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        pytest.param(("index__1", "index"), "tensor index has no index: write NAME__INDEX", id="no index"),
        pytest.param(("TYPE_INT32", "TYPE_STRING"), "tensor index__1 has a type that is not supported", id="strings"),
        pytest.param(("size: 8", "size: many"), "config.pbtxt is not a ModelConfig", id="a config that does not parse"),
    ],
)
def test_inputs_that_no_torchscript_has_are_named_before_triton_starts(
    replace, message, new_triton, add_model, tmp_path
):
    add_model(tmp_path, TORCH, "lookup", replace)
    with pytest.raises(StartError, match=f"lookup: .*{message}"):
        new_triton(tmp_path).start()
