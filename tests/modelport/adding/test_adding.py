"""`modelport add` and `modelport remove`, from a file to the declared service and back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx_files import save_autoencoder, save_classifier

from exporters.adding import record
from exporters.config import read_config
from modelport.adding.__main__ import main
from modelport.exporting import export
from modelport.services import load
from modelport.stack.chains import check_chains


@pytest.fixture
def flowers(tmp_path):
    """What adds a classifier but for --yes."""
    labels = tmp_path / "flowers.txt"
    labels.write_text("rose\ntulip\ndaisy\nlily\nviola\niris\n")
    model = save_classifier(tmp_path / "flowers.onnx", size=(64, 64))
    sample = Path(__file__).parents[2] / "data" / "images" / "coffee.jpg"
    options = {"task": "classification", "labels": labels, "sample": sample, "normalise": "imagenet"}
    return ["add", str(model), *(f"--{key}={value}" for key, value in options.items())]


def test_a_classifier_is_added_built_again_and_removed(flowers, checkout, changed, capsys, tmp_path, monkeypatch):
    assert main([*flowers, "--licence=MIT", "--accuracy=80 %", "--yes"], checkout) == 0
    out = capsys.readouterr().out
    assert "channel order" in out
    assert "assumed; --resize states it" in out
    assert "difference from the original for the sample: probabilities" in out
    assert "rose" in out
    model_dir = checkout.repository / "flowers"
    files = {path.relative_to(model_dir).as_posix() for path in model_dir.rglob("*") if path.is_file()}
    assert {"added.json", "config.pbtxt", "labels.txt", "golden/answer.json", "golden/images.png"} < files
    assert not [path for path in changed() if path.endswith(".onnx")]
    config = read_config(model_dir / "config.pbtxt")
    stated = {key: config.parameters[key].string_value for key in ("weights_licence", "accuracy", "resize_size")}
    assert stated == {"weights_licence": "MIT", "accuracy": "80 %", "resize_size": "73"}
    assert config.max_batch_size == 8
    assert load(checkout.declaration)["flowers"].models == ("flowers",)
    assert "--service=flowers=classification:flowers" in (checkout.root / "compose.yaml").read_text()
    check_chains([load(checkout.declaration)["flowers"]], checkout.repository)

    artefact = model_dir / "1" / "model.onnx"
    content = artefact.read_bytes()
    shutil.rmtree(artefact.parent)
    assert export(["flowers"], checkout.repository) == 0  # the file is where it was
    assert artefact.read_bytes() == content
    shutil.rmtree(artefact.parent)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "flowers.onnx").rename(moved / "flowers.onnx")
    assert export(["flowers"], checkout.repository) == 1
    assert not artefact.exists()
    assert export(["flowers"], checkout.repository, {"WEIGHTS_DIR": str(moved)}) == 0
    assert artefact.read_bytes() == content

    assert main(["remove", "flowers"], checkout) == 0
    assert changed() == []


def test_it_says_that_a_scaling_is_stated_against_the_file(flowers, checkout, capsys, tmp_path):
    save_classifier(tmp_path / "flowers.onnx", size=(64, 64), metadata={"Image.NominalPixelRange": "Normalized_1_1"})
    assert main([*flowers, "--normalise=0..1", "--yes"], checkout) == 0
    out = capsys.readouterr().out
    assert "127.5 : 127.5" in out
    assert "stated, against what was found in the file (127.5 : 127.5)" in out


@pytest.mark.parametrize(
    ("omitted", "added", "code", "message"),
    [
        ("task", [], 2, "--task"),
        ("labels", [], 2, "--labels"),
        ("sample", [], 2, "--sample"),
        ("normalise", [], 2, "--normalise"),
        ("", [], 2, "--yes"),
        ("", ["--softmax=none", "--yes"], 2, "--softmax add"),
        ("", ["--size=32x32"], 2, "the model takes 64x64"),
        ("", ["--layout=nhwc"], 2, "the input's shape says nchw"),
        ("", ["--resize=letterbox"], 2, "--resize"),
        ("", ["--resize=crop:256:224"], 2, "the crop is 224 wide"),
        ("", ["--name=a.b"], 2, "no name for a model"),
        ("", ["--name=../x"], 2, "no name for a model"),
        ("", ["--service=detector"], 2, "detector is a service of detection"),
        ("labels", ["--labels=LICENSE"], 1, "LICENSE"),
        ("sample", ["--sample=pyproject.toml"], 2, "cannot be the sample"),
    ],
)
def test_what_is_missing_or_wrong_is_named(omitted, added, code, message, flowers, checkout, changed, capsys, tmp_path):
    given = [one for one in flowers if not (omitted and one.startswith(f"--{omitted}="))]
    there = [
        one.replace("=LICENSE", f"={tmp_path}/LICENSE").replace("=pyproject", f"={tmp_path}/pyproject") for one in added
    ]
    (tmp_path / "pyproject.toml").write_text("[project]")
    assert main([*given, *there], checkout) == code
    assert message in capsys.readouterr().err
    assert changed() == []


@pytest.mark.parametrize(
    ("properties", "expected"),
    [pytest.param({"batch": 1}, 8, id="declared"), pytest.param({"batch": 1, "fixed_reshape": True}, 1, id="true")],
)
def test_the_batch_size_is_what_the_model_can_do(properties, expected, flowers, checkout, tmp_path):
    save_classifier(tmp_path / "flowers.onnx", size=(64, 64), **properties)
    assert main([*flowers, "--yes"], checkout) == 0
    assert read_config(checkout.repository / "flowers" / "config.pbtxt").max_batch_size == expected


def test_a_name_that_is_taken_and_a_model_that_joins_a_chain(flowers, checkout, changed, capsys):
    assert main([*flowers, "--yes", "--service=classifier", "--fallback"], checkout) == 0
    assert load(checkout.declaration)["classifier"].models[-1] == "flowers"
    assert main([*flowers, "--yes"], checkout) == 2
    assert "has a model 'flowers' already" in capsys.readouterr().err
    assert main(["remove", "flowers"], checkout) == 0
    assert changed() == []
    assert main(["remove", "yolov3_tiny"], checkout) == 2
    assert "was not added" in capsys.readouterr().err


def test_an_anomaly_detector(checkout, changed, capsys, tmp_path):
    model, sample = save_autoencoder(tmp_path / "pump.onnx"), tmp_path / "window.json"
    sample.write_text(json.dumps([4.0] * 8))
    arguments = ["add", str(model), "--task=anomaly", f"--sample={sample}", "--yes"]
    assert main(arguments, checkout) == 2
    assert "--threshold" in capsys.readouterr().err
    assert main([*arguments, "--threshold=1.5"], checkout) == 0
    assert "anomaly  True" in capsys.readouterr().out
    answer = json.loads((checkout.repository / "pump" / "golden" / "answer.json").read_text())["outputs"]
    assert answer["mae"]["values"] == [2.0]
    assert np.allclose(answer["reconstruction"]["values"], 2.0)
    assert record.read(checkout.repository / "pump").plan.threshold == 1.5
