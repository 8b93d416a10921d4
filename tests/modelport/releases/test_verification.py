"""Any change to the files of a release is detected."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.files import content_sha256
from modelport.releases.__main__ import main
from modelport.releases.errors import NotFoundError, ReleaseInvalidError
from modelport.releases.release import RELEASE_FILE, find
from modelport.releases.sources import Folder
from modelport.releases.verification import read_release, verified_repository, verify

Toy = Callable[..., Path]


def test_an_unchanged_release_is_verified(toy, capsys):
    folder = toy()
    assert main(["verify", str(folder)]) == 0
    assert f"digits {folder.name}: 3 files" in capsys.readouterr().out


def test_the_digest_equals_that_of_the_folder(toy):
    folder = toy()
    digest = read_release(Folder(folder)).digest
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
    """A changed file, and its new sha256 in release.json: the name no longer follows from the content."""
    flip_a_bit(folder)
    document = json.loads((folder / RELEASE_FILE).read_text())
    document["files"]["toy/1/model.onnx"]["sha256"] = content_sha256(folder / "toy" / "1" / "model.onnx")
    (folder / RELEASE_FILE).write_text(json.dumps(document))


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
        pytest.param(lambda folder: (folder / "toy/labels.txt").unlink(), "is missing", id="a missing file"),
        pytest.param(
            lambda folder: (folder / "toy/1/other.so").write_bytes(b"x"), "does not belong", id="an additional file"
        ),
        pytest.param(lambda folder: (folder / "other").write_bytes(b"x"), "does not belong", id="a file at the root"),
        pytest.param(link, "is a link", id="a link instead of a file"),
        pytest.param(relist, "release.json was changed", id="release.json adapted"),
        pytest.param(escape, "is not a path in a model", id="a path that leaves the folder"),
        pytest.param(
            lambda folder: (folder / RELEASE_FILE).write_bytes(b"{}"), "is malformed", id="malformed release.json"
        ),
    ],
)
def test_changes_are_detected(change, complaint, toy):
    folder = toy()
    change(folder)
    with pytest.raises(ReleaseInvalidError, match=complaint):
        verify(Folder(folder))


def test_the_newest_release_is_found(toy, tmp_path):
    newest = toy()
    older = toy(day="2026-11-20")
    assert find("digits", root=tmp_path) == newest
    assert find("digits", "11-20", root=tmp_path) == older
    with pytest.raises(NotFoundError, match="choose one of: 2026-11-21-"):
        find("digits", newest.name[-12:], root=tmp_path)


def test_a_part_of_a_name_is_resolved_to_the_verified_release(toy, tmp_path):
    folder = toy()
    assert verified_repository("digits", folder.name[-5:], tmp_path) == (folder.name, folder)
    flip_a_bit(folder)
    with pytest.raises(ReleaseInvalidError, match="was changed"):
        verified_repository("digits", folder.name[-5:], tmp_path)
