"""Files and folders."""

import pytest

from kserve_transformers.client.inputs import IMAGES, find_inputs


def test_a_folder_is_searched_for_pictures_and_a_named_file_is_taken_as_it_is(tmp_path):
    for name in ("b.JPG", "deep/a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list(find_inputs([str(tmp_path), str(tmp_path / "notes.txt"), "-"], IMAGES))
    assert [str(one.relative) for one in found] == ["b.JPG", "deep/a.png", "notes.txt", "stdin"]
    assert found[2].read() == b"x"


def test_a_missing_file_is_told():
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg: no such file"):
        list(find_inputs(["gone.jpg"], IMAGES))
