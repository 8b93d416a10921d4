"""Files are written whole or not at all."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from exporters.errors import RepositoryError
from exporters.files import UNFINISHED, content_sha256, replace_file, staged, sweep, writing


def test_a_file_is_identified_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert content_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_is_identified_by_names_and_contents(tmp_path):
    def folder(name: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return content_sha256(tmp_path / name)

    first = folder("1", {"a": "x", "b/c": "y"})
    assert first == folder("2", {"b/c": "y", "a": "x"})
    others = [{"a": "y", "b/c": "x"}, {"a": "x", "b/d": "y"}, {"a": "x", "b": "y"}, {"a": "x"}]
    assert first not in [folder(f"other {index}", files) for index, files in enumerate(others)]


def test_a_file_is_replaced_only_by_another_content(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    assert replace_file(path, b"one")
    assert not replace_file(path, b"one")
    assert replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [left.name for left in path.parent.iterdir()] == ["file"]


def test_a_failure_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with staged(path) as temporary:
            temporary.write_text("ne")
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        write()
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["file"]


def test_only_what_was_left_long_ago_is_swept(tmp_path):
    (tmp_path / f"{UNFINISHED}old").write_text("")
    os.utime(tmp_path / f"{UNFINISHED}old", (0, 0))
    (tmp_path / f"{UNFINISHED}folder").mkdir()
    (tmp_path / f"{UNFINISHED}folder" / "file").write_text("")
    (tmp_path / "mine").write_text("")
    sweep(tmp_path, older_than_s=60)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{UNFINISHED}folder", "mine"]
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_full_disk_says_what_to_do():
    with (
        pytest.raises(RepositoryError, match="cannot write /dev/full: the disk is full: free some space"),
        writing(Path("/dev/full")),
    ):
        Path("/dev/full").write_bytes(b"x")


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        pytest.param(errno.EACCES, "no permission to write there: choose another folder", id="no permission"),
        pytest.param(errno.EROFS, "the file system is read-only: choose another folder", id="read-only"),
    ],
)
def test_a_refusal_says_what_to_do(number, cure, tmp_path):
    with pytest.raises(RepositoryError, match=cure), writing(tmp_path):
        raise OSError(number, os.strerror(number))


def test_another_error_is_not_blamed_on_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        Path("/does/not/exist").read_bytes()
