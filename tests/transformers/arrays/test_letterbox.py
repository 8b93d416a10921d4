"""Letterbox: where the image lies in the frame, and that boxes are mapped back to it."""

import numpy as np
import pytest

from kserve_transformers.arrays.letterbox import FILL, Letterbox


@pytest.mark.parametrize(
    ("image", "offset", "content"),
    [
        pytest.param((416, 416), (0, 0), (416, 416), id="as it is"),
        pytest.param((832, 416), (0, 104), (416, 208), id="wide"),
        pytest.param((100, 400), (156, 0), (104, 416), id="tall, enlarged"),
        pytest.param((1, 1), (0, 0), (416, 416), id="one pixel"),
        pytest.param((10000, 1), (0, 207), (416, 1), id="a line keeps one row"),
    ],
)
def test_the_image_lies_in_the_middle(image, offset, content):
    box = Letterbox.fit(image, (416, 416))
    assert (box.offset_xy, box.content_wh) == (offset, content)


def test_a_frame_that_is_not_square():
    box = Letterbox.fit((100, 100), (320, 160))
    assert (box.offset_xy, box.content_wh) == ((80, 0), (160, 160))


def test_bars_are_grey_and_the_image_is_inside():
    rgb = np.full((10, 40, 3), (200, 10, 60), np.uint8)
    frame = Letterbox.fit((40, 10), (80, 80)).draw(rgb)
    assert frame.shape == (80, 80, 3)
    assert (frame[30:50] == (200, 10, 60)).all()
    assert (frame[:30] == FILL).all()
    assert (frame[50:] == FILL).all()


@pytest.mark.parametrize("scale", [2, 4, 7], ids=lambda scale: f"1/{scale}")
def test_no_pixel_is_left_out_however_far_an_image_is_scaled_down(scale):
    """Thin lines: a scaling that looks at fewer pixels than there are would show all of them or none."""
    rgb = np.zeros((40 * scale, 40 * scale, 3), np.uint8)
    rgb[:, ::scale] = 255
    frame = Letterbox.fit((40 * scale, 40 * scale), (40, 40)).draw(rgb)
    np.testing.assert_allclose(frame, 255 / scale, atol=1)


@pytest.mark.parametrize("size", [(640, 480), (481, 641), (37, 1000), (3, 2)])
def test_undo_brings_boxes_back_to_the_image(size):
    box = Letterbox.fit(size, (416, 416))
    (x, y), (w, h) = box.offset_xy, box.content_wh
    whole = np.array([[x, y, x + w, y + h]], np.float32) / 416
    np.testing.assert_allclose(box.undo(whole), [[0, 0, *size]], atol=1e-3)
    middle = np.array([[x + w / 4, y + h / 4, x + w / 2, y + h / 2]], np.float32) / 416
    np.testing.assert_allclose(box.undo(middle), [[size[0] / 4, size[1] / 4, size[0] / 2, size[1] / 2]], rtol=1e-3)


def test_undo_clips_to_the_image_and_takes_no_boxes():
    box = Letterbox.fit((832, 416), (416, 416))
    assert box.undo(np.array([[-1, -1, 2, 2]], np.float32)).tolist() == [[0, 0, 832, 416]]
    assert box.undo(np.zeros((0, 4), np.float32)).shape == (0, 4)
