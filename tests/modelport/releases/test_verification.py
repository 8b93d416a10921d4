"""A release that is not as it was built is known by it, whatever was done to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.files import content_sha256
from modelport.releases.__main__ import main
from modelport.releases.errors import NoReleaseError, ReleaseInvalidError
from modelport.releases.release import RELEASE_FILE, find, read
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

Toy = Callable[..., Path]


def test_a_whole_release_is_what_it_says(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    folder = toy()
    assert main(["verify", str(folder)]) == 0
    assert f"digits {folder.name}: 3 files" in capsys.readouterr().out


def test_the_digest_is_that_of_the_folder(toy: Toy) -> None:
    folder = toy()
    digest = read(folder).digest
    (folder / RELEASE_FILE).unlink()
    assert content_sha256(folder) == digest


def swap(folder: Path) -> None:
    first, second = folder / "toy" / "labels.txt", folder / "toy" / "config.pbtxt"
    first.write_bytes(first.read_bytes().ljust(12))
    content = second.read_bytes()
    second.write_bytes(first.read_bytes())
    first.write_bytes(content)


def flip_a_bit(folder: Path) -> None:
    artefact = folder / "toy" / "1" / "model.onnx"
    content = bytearray(artefact.read_bytes())
    content[1000] ^= 1
    artefact.write_bytes(content)


def link(folder: Path) -> None:
    artefact = folder / "toy" / "1" / "model.onnx"
    artefact.rename(folder.parent / "model.onnx")
    artefact.symlink_to(folder.parent / "model.onnx")


def relist(folder: Path) -> None:
    """A changed file that release.json was made to fit: the old name must not hide it."""
    flip_a_bit(folder)
    stated = json.loads((folder / RELEASE_FILE).read_text())
    stated["files"]["toy/1/model.onnx"]["sha256"] = content_sha256(folder / "toy" / "1" / "model.onnx")
    (folder / RELEASE_FILE).write_text(json.dumps(stated))


def escape(folder: Path) -> None:
    text = (folder / RELEASE_FILE).read_text().replace("toy/labels.txt", "toy/../../labels.txt")
    (folder / RELEASE_FILE).write_text(text)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(flip_a_bit, r"model\.onnx was changed", id="one bit of an artefact"),
        pytest.param(
            lambda folder: (folder / "toy/1/model.onnx").write_bytes(b"short"), "has 5 bytes, not 2048", id="truncated"
        ),
        pytest.param(swap, r"has \d+ bytes, not \d+", id="two files swapped"),
        pytest.param(lambda folder: (folder / "toy/labels.txt").unlink(), "is missing", id="a file gone"),
        pytest.param(
            lambda folder: (folder / "toy/1/other.so").write_bytes(b"x"), "does not belong", id="a file too many"
        ),
        pytest.param(lambda folder: (folder / "other").write_bytes(b"x"), "does not belong", id="a file at the root"),
        pytest.param(link, "is a link", id="a link instead of a file"),
        pytest.param(relist, "release.json was changed", id="release.json made to fit"),
        pytest.param(escape, "is no path of a model's file", id="a path that leaves the folder"),
        pytest.param(lambda folder: (folder / RELEASE_FILE).write_bytes(b"{}"), "is damaged", id="no release.json"),
    ],
)
def test_changes_are_found(change: Callable[[Path], None], complaint: str, toy: Toy) -> None:
    folder = toy()
    change(folder)
    with pytest.raises(ReleaseInvalidError, match=complaint):
        verify(Folder(folder))


def test_a_folder_without_release_json_is_named(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    folder = toy()
    (folder / RELEASE_FILE).unlink()
    assert main(["verify", str(folder)]) == 1
    assert "holds no whole release" in capsys.readouterr().err


def test_the_newest_release_is_found(toy: Toy, tmp_path: Path) -> None:
    newest = toy()
    older = toy(day="2026-11-20")
    assert find("digits", root=tmp_path) == newest
    assert find("digits", "11-20", root=tmp_path) == older
    with pytest.raises(NoReleaseError, match="choose of 2026-11-21-"):
        find("digits", newest.name[-12:], root=tmp_path)
