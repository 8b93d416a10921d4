"""Files that are not those of the release are named, whatever was done to them; where nothing was released, none is."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kserve_transformers.predictor.release import RELEASE_FILE, ReleasedFiles

CONTENTS = {"toy/labels.txt": b"cat\ndog\n", "toy/1/model.onnx": bytes(range(256)), "other/labels.txt": b"one\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for path, content in CONTENTS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    files = {p: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for p, c in CONTENTS.items()}
    (tmp_path / RELEASE_FILE).write_text(json.dumps({"files": files}))
    return tmp_path


def link(repository: Path) -> None:
    (repository / "toy/labels.txt").rename(repository / "labels.txt")
    (repository / "toy/labels.txt").symlink_to(repository / "labels.txt")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(lambda r: (r / "toy/labels.txt").write_bytes(b"dog\ncat\n"), "is not as released", id="swapped"),
        pytest.param(lambda r: os.truncate(r / "toy/1/model.onnx", 255), "is not as released", id="truncated"),
        pytest.param(lambda r: (r / "toy/labels.txt").unlink(), "of the release is missing", id="missing"),
        pytest.param(lambda r: (r / "toy/1/model.py").write_bytes(b""), "does not belong", id="one too many"),
        pytest.param(lambda r: (r / "toy").rename(r / "new"), "of the release is missing", id="no such model"),
        pytest.param(link, "does not belong", id="a link"),
    ],
)
def test_changes_are_named(repository: Path, change: Callable[[Path], object], complaint: str) -> None:
    files = ReleasedFiles(repository, "toy")
    assert files.complaint() is None
    change(repository)
    assert complaint in str(files.complaint())
    assert ReleasedFiles(repository, "other").complaint() is None


def test_a_model_that_was_not_released_is_named(repository: Path) -> None:
    (repository / "new").mkdir()
    (repository / "new" / "labels.txt").write_bytes(b"x\n")
    assert "new/labels.txt does not belong to the release" in str(ReleasedFiles(repository, "new").complaint())


def test_what_was_mended_is_right_again(repository: Path) -> None:
    files = ReleasedFiles(repository, "toy")
    (repository / "toy/labels.txt").write_bytes(b"dog\ncat\n")
    assert files.complaint() is not None
    (repository / "toy/labels.txt").write_bytes(CONTENTS["toy/labels.txt"])
    assert files.complaint() is None


def test_the_top_level_may_be_linked_as_kserve_does_for_local_folders(repository: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mnt"
    mounted.mkdir()
    for entry in ("toy", RELEASE_FILE):
        (mounted / entry).symlink_to(repository / entry)
    assert ReleasedFiles(mounted, "toy").complaint() is None


def test_a_plain_repository_has_nothing_to_compare_with(repository: Path) -> None:
    (repository / RELEASE_FILE).unlink()
    (repository / "toy/labels.txt").unlink()
    assert ReleasedFiles(repository, "toy").complaint() is None
