"""The name of a release, and files that are not those of the release: each is named, whatever was done to it."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from kserve_transformers.predictor.release import RELEASE_FILE, ReleaseError, ReleaseFiles, release_of

CONTENTS = {"toy/labels.txt": b"cat\ndog\n", "toy/1/model.onnx": bytes(range(256)), "other/labels.txt": b"one\n"}


@pytest.fixture
def repository(tmp_path):
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
    ("change", "problem"),
    [
        pytest.param(lambda r: (r / "toy/labels.txt").write_bytes(b"dog\ncat\n"), "is not as released", id="swapped"),
        pytest.param(lambda r: os.truncate(r / "toy/1/model.onnx", 255), "is not as released", id="truncated"),
        pytest.param(lambda r: (r / "toy/labels.txt").unlink(), "of the release is missing", id="missing"),
        pytest.param(lambda r: (r / "toy/1/model.py").write_bytes(b""), "does not belong", id="additional"),
        pytest.param(lambda r: (r / "toy").rename(r / "new"), "of the release is missing", id="no such model"),
        pytest.param(link, "does not belong", id="symbolic link"),
        pytest.param(lambda r: (r / "toy/2").symlink_to(r / "toy/1"), "does not belong", id="linked folder"),
    ],
)
def test_changes_are_named(repository, change, problem):
    files = ReleaseFiles(repository, "toy")
    files.check()
    change(repository)
    with pytest.raises(ReleaseError, match=problem):
        files.check()
    ReleaseFiles(repository, "other").check()


@pytest.mark.parametrize("content", ["[]", "{", '{"files": []}', '{"files": {"toy/1": 1}}'])
def test_a_malformed_release_file_is_named(repository, content):
    (repository / RELEASE_FILE).write_text(content)
    with pytest.raises(ReleaseError, match=r"release.json cannot be read"):
        ReleaseFiles(repository, "toy").check()


def test_a_model_that_was_not_released_is_named(repository):
    (repository / "new").mkdir()
    (repository / "new" / "labels.txt").write_bytes(b"x\n")
    with pytest.raises(ReleaseError, match=r"new/labels.txt does not belong to the release"):
        ReleaseFiles(repository, "new").check()


def test_a_repaired_file_is_right_again(repository):
    files = ReleaseFiles(repository, "toy")
    (repository / "toy/labels.txt").write_bytes(b"dog\ncat\n")
    with pytest.raises(ReleaseError):
        files.check()
    (repository / "toy/labels.txt").write_bytes(CONTENTS["toy/labels.txt"])
    files.check()


def test_the_top_level_may_be_linked_as_kserve_does_for_local_folders(repository, tmp_path):
    mounted = tmp_path / "mnt"
    mounted.mkdir()
    for entry in ("toy", RELEASE_FILE):
        (mounted / entry).symlink_to(repository / entry)
    ReleaseFiles(mounted, "toy").check()


def test_a_repository_without_a_release_has_nothing_to_compare_with(repository):
    (repository / RELEASE_FILE).unlink()
    (repository / "toy/labels.txt").unlink()
    ReleaseFiles(repository, "toy").check()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param('{"name": "2026-11-21-0123456789ab"}', "2026-11-21-0123456789ab", id="release"),
        pytest.param(None, "none", id="plain repository"),
        pytest.param("{", "none", id="damaged"),
        pytest.param("[]", "none", id="not an object"),
    ],
)
def test_a_repository_names_its_release(content, expected, tmp_path):
    if content is not None:
        (tmp_path / RELEASE_FILE).write_text(content)
    assert release_of(tmp_path) == expected


def test_a_repository_that_cannot_be_read_has_no_release():
    assert release_of(None) == "none"
