"""Files and folders."""

import json
import os
from pathlib import PurePosixPath

import pytest

from kserve_transformers.client.inputs import IMAGES, find_inputs


def test_a_folder_is_searched_for_images_and_a_named_file_is_taken_as_it_is(tmp_path):
    for name in ("b.JPG", "deep/a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list(find_inputs([str(tmp_path), str(tmp_path / "notes.txt"), "-"], IMAGES))
    assert [str(one.relative) for one in found] == ["b.JPG", "deep/a.png", "notes.txt", "stdin"]
    assert found[2].read() == b"x"


def test_each_file_once_however_often_it_is_named(images, monkeypatch):
    monkeypatch.chdir(images)
    named = ["0.jpg", str(images), "./0.jpg", f"{images}/../in/1.jpg", "-", "-"]
    names = [one.name for one in find_inputs(named, IMAGES)]
    assert len(names) == 11
    assert names.count("0.jpg") + names.count(f"{images}/0.jpg") == 1


def test_what_the_client_writes_is_no_input(images):
    (images / "drawn").mkdir()
    (images / "drawn" / "0.jpg").write_bytes(b"x")
    apart = {str(images / "drawn"), str(images / "1.jpg")}
    names = [one.name for one in find_inputs([str(images)], IMAGES, apart)]
    assert names == [*(f"{images}/{number}.jpg" for number in (0, *range(2, 9))), f"{images}/empty.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.symlink_to("gone"), "the link leads to gone, which is not there"),
        (lambda path: path.mkdir(), r"no file in it ends in \.avif, \.bmp"),
    ],
    ids=["missing", "dangling link", "empty folder"],
)
def test_a_name_without_a_file_is_told(tmp_path, make, message):
    make(tmp_path / "x.jpg")
    with pytest.raises(FileNotFoundError, match=rf"x\.jpg: {message}"):
        list(find_inputs([str(tmp_path / "x.jpg")], IMAGES))


def test_what_a_folder_holds_and_cannot_be_read_has_an_error_as_its_result(client, images, tmp_path):
    for one in images.iterdir():
        one.unlink()
    (tmp_path / "elsewhere").mkdir()
    (images / "dangling.jpg").symlink_to("gone")
    (images / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(images / "pipe.png")
    (images / "linked.jpg").symlink_to(tmp_path / "good.jpg")
    (tmp_path / "good.jpg").write_bytes(b"image")
    code, out, said = client("detector", images)
    results = {line["file"].rpartition("/")[2]: line.get("error") for line in map(json.loads, out.splitlines())}
    assert code == 1
    assert results == {
        "dangling.jpg": f"{images}/dangling.jpg: the link leads to gone, which is not there",
        "folder": f"{images}/folder: a link to a folder, which is not followed: name it",
        "linked.jpg": None,
        "pipe.png": f"{images}/pipe.png: not a regular file",
    }
    assert "4 requests, 3 errors" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_listed_is_told(client, images):
    (images / "locked").mkdir(mode=0)
    code, out, _ = client("detector", images)
    assert code == 1
    assert "the folder cannot be listed: Permission denied" in out


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_name_that_is_not_utf_8_is_written_and_resumed(client, fake, tmp_path, suffix):
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.fsencode(folder) + b"/gr\xf6\xdfe.jpg"
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(b"image")
    for _ in range(2):
        assert client("detector", folder, "--out", tmp_path / f"out.{suffix}")[0] == 0
    assert fake.images == [b"image"]
    assert rb"gr\xf6\xdfe.jpg" in (tmp_path / f"out.{suffix}").read_bytes().replace(b"\\\\", b"\\")


def test_a_shard_follows_from_the_name_alone(images):
    found = list(find_inputs([str(images)], IMAGES))
    shards = [{one.name for one in found if one.is_in_shard(shard, 3)} for shard in range(3)]
    assert sorted(name for shard in shards for name in shard) == [one.name for one in found]
    (images / "00.jpg").write_bytes(b"new")
    again = [one for one in find_inputs([str(images)], IMAGES) if one.relative != PurePosixPath("00.jpg")]
    assert [{one.name for one in again if one.is_in_shard(shard, 3)} for shard in range(3)] == shards


def test_a_file_that_would_be_written_is_no_input(client, images):
    for option in ("--out", "--draw"):
        code, _, said = client("detector", images / "0.jpg", option, images / "0.jpg")
        assert (code, said) == (2, "error: an input is what --out or --draw would write: name another file\n")
    assert (images / "0.jpg").read_bytes() == b"image\x00"
