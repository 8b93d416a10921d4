"""The command: what it prints, and how it ends."""

import dataclasses
import sys
import types
from pathlib import Path

import pytest

from exporters import __main__ as export_command
from exporters.__main__ import main
from exporters.catalog import CARS, MNIST, MODELS, YOLOV3_TINY, Model, WeightFile
from exporters.repository import Exported
from exporters.weights import Weights, provenance


def test_the_catalog_is_listed(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "weights", "licence", "accuracy"]
    assert [line.split()[0] for line in lines[1:]] == list(MODELS)


def test_a_model_that_the_catalog_lacks(tmp_path, capsys):
    assert main(["yolov9", "--repository", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: there is no model yolov9: choose one of yolov3_tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--cfg", "my.cfg"], id="cfg alone"),
        pytest.param(["--name", "x"], id="name alone"),
        pytest.param(["mnist", "--cfg=c", "--weights=w", "--names=n", "--name=x"], id="own files and a model"),
    ],
)
def test_own_files_are_named_all_together(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "takes --cfg, --weights, --names and --name together" in capsys.readouterr().err


@pytest.mark.parametrize("model", [pytest.param(model, id=model.name) for model in (MNIST, CARS, YOLOV3_TINY)])
def test_without_weights_a_model_is_trained_built_untrained_or_refused(model, tmp_path, monkeypatch, capsys):
    given: list[Weights | None] = []
    exporter, training = types.ModuleType("exporter"), types.ModuleType("training")
    trained = tmp_path / "mnist.weights.h5"
    trained.write_bytes(b"trained")

    def export(model: Model, weights: Weights | None, model_dir: Path) -> Exported:
        given.append(weights)
        return Exported(1, True, 7, provenance(model, weights))

    exporter.export, training.train = export, lambda options: trained
    monkeypatch.setitem(sys.modules, model.exporter, exporter)
    monkeypatch.setitem(sys.modules, "exporters.training.mnist", training)
    monkeypatch.setitem(sys.modules, "exporters.training.cars", None)
    without = dataclasses.replace(model, files=(WeightFile(f"{model.name}.missing", None),))
    monkeypatch.setattr(export_command, "MODELS", {model.name: without})

    code = main([model.name, "--repository", str(tmp_path)])

    if model.without_weights == "fail":
        assert (code, given) == (1, [])
        assert "error: yolov3_tiny: yolov3_tiny.missing is unavailable (it is not published)" in capsys.readouterr().err
    elif model.without_weights == "train":
        assert (code, [weights and weights.path("mnist.missing") for weights in given]) == (0, [trained])
    else:
        assert (code, given) == (0, [None])


def test_a_repository_that_cannot_be_written(capsys):
    """Even root may not make a folder in /proc."""
    assert main(["yolov3_tiny", "--repository", "/proc/repository"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: yolov3_tiny: ")
    assert "/proc/repository" in last


def test_a_folder_of_weights_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "missing"))
    assert main(["yolov3_tiny", "--repository", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: WEIGHTS_DIR={tmp_path}/missing is not a folder: correct or unset it\n"
