"""Each drawing has a file of its own, and none replaces an image."""

import re

import cv2
import numpy as np
import pytest

BLANK = np.full((60, 80, 3), 255, np.uint8)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("x.jpg", "x.png", "x.bmp", "deep/x.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), BLANK)
    return folder


def drawn(folder):
    """Names of the drawings in a folder, which are whole and differ from the blank image."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    assert all(np.abs(cv2.imread(str(path)).astype(int) - 255).max() > 50 for path in found)
    return [str(path.relative_to(folder)) for path in found]


def test_images_of_one_stem_have_drawings_of_their_own(client, photos, tmp_path):
    assert client("detector", photos, "--draw", tmp_path / "drawn", "--threads", 3)[0] == 0
    assert drawn(tmp_path / "drawn") == ["deep/x.jpg", "x.bmp", "x.jpg", "x.png"]


def test_what_opencv_cannot_write_is_drawn_as_png(client, photos, tmp_path):
    (photos / "y.jfif").write_bytes((photos / "x.jpg").read_bytes())
    assert client("detector", photos / "y.jfif", "--draw", tmp_path / "drawn")[0] == 0
    assert drawn(tmp_path / "drawn") == ["y.jfif.png"]


@pytest.mark.parametrize(("draw", "where"), [("new/drawn.png", "new/drawn.png"), ("new/", "new/x.jpg"), (".", "x.jpg")])
def test_one_image_to_a_file_or_a_folder(client, photos, tmp_path, monkeypatch, draw, where):
    monkeypatch.chdir(tmp_path)
    assert client("detector", photos / "x.jpg", "--draw", draw)[0] == 0
    assert (tmp_path / where).is_file()


@pytest.mark.parametrize(
    ("inputs", "draw", "message"),
    [
        (["x.jpg", "deep/x.jpg"], "drawn", "would be .*drawn/x.jpg, as is .*photos/x.jpg"),
        (["x.jpg"], "drawn.txt", "name a file that ends in .jpg or .png"),
        (["x.jpg", "x.png"], "photos", "an input is what|would be .*photos/x.jpg"),
    ],
    ids=["one name twice", "no image file", "the image itself"],
)
def test_no_drawing_replaces_another_file(client, photos, tmp_path, inputs, draw, message):
    code, _, said = client("detector", *(photos / one for one in inputs), "--draw", tmp_path / draw)
    assert code == 2
    assert re.search(message, said), said
    assert (photos / "x.jpg").read_bytes() == (photos / "deep" / "x.jpg").read_bytes()
