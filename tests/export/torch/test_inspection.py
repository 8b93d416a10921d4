"""What a TorchScript file takes and gives, read in PyTorch's environment; what is dangerous is not run."""

import json
import subprocess
import sys

import pytest
import torch
from toy_model import CONFIG, save_torchscript

from exporters.inspection import inspect


@pytest.fixture
def model_dir(tmp_path):
    (tmp_path / "toy" / "1").mkdir(parents=True)
    save_torchscript(tmp_path / "toy" / "1")
    (tmp_path / "toy" / "config.pbtxt").write_text(CONFIG.format(name="toy", platform="pytorch_libtorch"))
    return tmp_path / "toy"


def test_names_types_and_shapes_come_as_json(model_dir):
    command = [sys.executable, "-P", "-m", "exporters.inspection", str(model_dir)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert json.loads(said) == {"inputs": {"x__0": ["float32", [None, 2]]}, "outputs": {"y__0": ["float32", [None, 3]]}}


def test_what_does_more_than_arithmetic_is_refused(model_dir, capsys):
    save_torchscript(model_dir / "1", printing=True)

    (complaint,) = inspect(model_dir).items()

    assert complaint[0] == "refused"
    assert "prim::Print" in str(complaint[1])
    assert capsys.readouterr().out == "", "it was not run"


@pytest.mark.parametrize("damage", ["artefact", "input's size"])
def test_what_cannot_be_read_or_run_is_unreadable_in_one_line(model_dir, damage):
    if damage == "artefact":
        (model_dir / "1" / "model.pt").write_bytes(b"x")
    else:
        config = model_dir / "config.pbtxt"
        config.write_text(config.read_text().replace("dims: [2]", "dims: [5]"))

    (complaint,) = inspect(model_dir).items()

    assert complaint[0] == "unreadable"
    assert str(complaint[1]).strip()
    assert "\n" not in str(complaint[1])


def test_tensorflow_is_not_in_this_process():
    assert torch.__version__
    assert "tensorflow" not in sys.modules
