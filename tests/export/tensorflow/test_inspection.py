"""What a SavedModel takes and gives, read in TensorFlow's environment."""

import json
import subprocess
import sys

import pytest

from exporters import saved_model
from exporters.config import Tensor
from exporters.inspection import inspect

CONFIG = 'name: "m" platform: "tensorflow_savedmodel"'


@pytest.fixture
def model_dir(tmp_path):
    (tmp_path / "1").mkdir()
    tensor = Tensor("values", "TYPE_FP32", (3,))
    saved_model.build(tmp_path / "1" / saved_model.FILENAME, lambda values: {"doubled": values * 2}, tensor)
    (tmp_path / "config.pbtxt").write_text(CONFIG)
    return tmp_path


def test_names_types_and_shapes_come_as_json(model_dir):
    command = [sys.executable, "-P", "-m", "exporters.inspection", str(model_dir)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    expected = {"inputs": {"values": ["float32", [None, 3]]}, "outputs": {"doubled": ["float32", [None, 3]]}}
    assert json.loads(said) == expected


def test_a_file_beside_the_graph_is_refused(model_dir):
    (model_dir / "1" / saved_model.FILENAME / "words.txt").write_text("a\n")
    assert inspect(model_dir) == {"refused": "model.savedmodel holds words.txt: the weights belong in the graph"}


def test_a_damaged_graph_is_unreadable(model_dir):
    (model_dir / "1" / saved_model.FILENAME / "saved_model.pb").write_bytes(b"\x00damaged")
    assert list(inspect(model_dir)) == ["unreadable"]


def test_pytorch_is_not_in_this_process():
    assert "torch" not in sys.modules
