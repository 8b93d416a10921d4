"""The command: what it prints, and how it ends."""

from pathlib import Path

import pytest

from exporters.__main__ import main
from exporters.catalog import MODELS


def test_the_catalog_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "service", "weights", "licence", "accuracy"]
    assert [line.split()[0] for line in lines[1:]] == list(MODELS)


def test_a_model_that_the_catalog_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yolov9", "--repository", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: there is no model yolov9: choose of yolov3_tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--cfg", "my.cfg"], id="cfg alone"),
        pytest.param(["--name", "x"], id="name alone"),
        pytest.param(["mnist", "--cfg=c", "--weights=w", "--names=n", "--name=x"], id="own files and a model"),
    ],
)
def test_own_files_are_named_all_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "takes --cfg, --weights, --names and --name together" in capsys.readouterr().err


def test_a_repository_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Even root may not make a folder in /proc."""
    assert main(["yolov3_tiny", "--repository", "/proc/repository"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: yolov3_tiny: ")
    assert "/proc/repository" in last


def test_a_folder_of_weights_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "missing"))
    assert main(["yolov3_tiny", "--repository", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: WEIGHTS_DIR={tmp_path}/missing is not a folder: correct or unset it\n"
