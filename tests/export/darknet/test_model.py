"""A user's own Darknet files become a model of the repository by one command, or by none."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from exporters.__main__ import main
from exporters.catalog import YOLOV3_TINY
from exporters.config import read_config
from exporters.darknet.model import read_names
from exporters.files import content_sha256
from exporters.golden import read_image
from exporters.repository import REPOSITORY, versions

Files = Callable[..., Any]


def command(files: Any, repository: Path, *others: str, name: str = "my_model") -> list[str]:
    own = ["--cfg", str(files.cfg), "--weights", str(files.weights), "--names", str(files.names), "--name", name]
    return [*own, "--repository", str(repository), *others]


def state(folder: Path) -> dict[str, tuple[int, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, content_sha256(path)) for path in files}


def test_own_files_become_a_whole_model(darknet_files, tmp_path, capsys):
    files = darknet_files("yolov3", width=96, height=64, classes=2)
    assert main(command(files, tmp_path / "repository", "--licence", "CC0", "--source", "our own cameras")) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["model", "version", "weights", "source", "MB", "accuracy"]
    assert row.startswith("my_model  1 (new)  trained  our own cameras  ")

    model_dir = tmp_path / "repository" / "my_model"
    config = read_config(model_dir / "config.pbtxt")
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("images", [64, 96, 3])]
    assert config.parameters["weights_licence"].string_value == "CC0"
    assert config.parameters["weights_sha256"].string_value == content_sha256(files.weights)
    assert (model_dir / "labels.txt").read_text() == "label 0\nlabel 1\n"

    image = read_image(model_dir / "golden" / "images.png")
    session = onnxruntime.InferenceSession(model_dir / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    outputs = dict(zip(("boxes", "scores", "classes"), session.run(None, {"images": image[None]}), strict=True))
    golden = json.loads((model_dir / "golden" / "answer.json").read_text())["outputs"]
    assert len(golden["scores"]["values"]) == 3
    for name, expected in golden.items():
        values = np.asarray(expected["values"])
        assert np.abs(outputs[name][0][: len(values)] - values).max() <= expected["atol"]


def test_the_same_again_changes_nothing_and_other_weights_make_a_version(darknet_files, tmp_path):
    files = darknet_files()
    repository = tmp_path / "repository"
    assert main(command(files, repository)) == 0
    before = state(repository)
    assert main(command(files, repository)) == 0
    assert state(repository) == before
    content = bytearray(files.weights.read_bytes())
    content[-4:] = np.float32(0.5).tobytes()
    files.weights.write_bytes(content)
    assert main(command(files, repository)) == 0
    assert versions(repository / "my_model") == [1, 2]
    assert content_sha256(files.weights) in (repository / "my_model" / "config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        pytest.param("cfg", b"[net]\nwidth=33\nheight=32\n", "my.cfg: [net] in line 1: width must be", id="cfg"),
        pytest.param("weights", b"\0" * 99, "my.weights: the header is not that of Darknet weights", id="weights"),
        pytest.param("names", b"one\ntwo\n", "my.names has 2 labels, the network has 3 classes", id="too few names"),
        pytest.param("names", b"one\n\nthree\n", "my.names has 3 labels, but that in line 2 is", id="an empty name"),
        pytest.param(
            "names", b"\none\ntwo\n", "my.names has 3 labels, but that in line 1 is", id="an empty first name"
        ),
        pytest.param("names", "gr\u00f6\u00dfe\n".encode("latin-1") * 3, "my.names is not a text file", id="no UTF-8"),
        pytest.param("names", b"\xff\xfe\x80", "my.names is not a text file", id="names that are no text"),
    ],
)
def test_wrong_files_end_with_one_line(file, content, message, darknet_files, tmp_path, capsys):
    files = darknet_files()
    getattr(files, file).write_bytes(content)
    assert main(command(files, tmp_path / "repository")) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"error: my_model: {message}")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "/etc"])
def test_a_name_is_never_a_path(name, darknet_files, tmp_path, capsys):
    files = darknet_files()
    try:
        code: object = main(command(files, tmp_path / "repository", name=name))
    except SystemExit as exc:  # an empty one is none
        code = exc.code
    assert code != 0
    assert "name" in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


def test_a_missing_file_is_named(darknet_files, tmp_path, capsys):
    files = darknet_files()
    files.weights.unlink()
    assert main(command(files, tmp_path / "repository")) == 1
    assert "my.weights" in capsys.readouterr().err.splitlines()[-1]


def test_the_tracked_files_are_those_of_the_catalogs_weights(tmp_path):
    """As a user runs it, in a process of its own; the cache is the project's."""
    arguments = [sys.executable, "-m", "exporters", "yolov3_tiny", "--repository", str(tmp_path)]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    result = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[1].startswith("yolov3_tiny  1 (new)  trained  ")
    tracked = REPOSITORY / YOLOV3_TINY.name
    for name in ("config.pbtxt", "labels.txt"):
        assert (tmp_path / YOLOV3_TINY.name / name).read_bytes() == (tracked / name).read_bytes()
    golden = tmp_path / YOLOV3_TINY.name / "golden"
    np.testing.assert_array_equal(read_image(golden / "images.png"), read_image(tracked / "golden" / "images.png"))
    answers = [json.loads((path / "answer.json").read_text())["outputs"] for path in (golden, tracked / "golden")]
    assert answers[0].keys() == answers[1].keys() == {"boxes", "scores", "classes"}
    for name, expected in answers[0].items():
        np.testing.assert_allclose(expected["values"], answers[1][name]["values"], rtol=0, atol=expected["atol"] / 10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_are_clean_whatever_editor_wrote_them(tmp_path, encoding, end):
    text = end.join(["person", "Stra\u00dfe \t", " traffic light", "person"]) + 2 * end
    (tmp_path / "my.names").write_bytes(text.encode(encoding))
    assert read_names(tmp_path / "my.names", 4) == ["person", "Stra\u00dfe", "traffic light", "person"]
