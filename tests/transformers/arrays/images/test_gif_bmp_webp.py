"""GIF, BMP and WebP: frames beside the canvas, depths, and what is not read."""

import io
import struct

import cv2
import numpy as np
import pytest
from image_files import encode
from PIL import Image

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.errors import BadRequestError, UnsupportedMediaError

RNG = np.random.default_rng(6)
SCENE = Image.fromarray(RNG.integers(0, 256, (20, 30, 3), np.uint8))

TURNED = Image.Exif()
TURNED[274] = 3  # by 180 degrees


def decode(data, scale=1.0):
    return decode_image(data, 10_000_000, lambda size: scale).rgb


def on_canvas(size_wh, at, transparency=None, mode="P", background=3):
    """A GIF whose one frame lies somewhere on a canvas, and what should be seen."""
    frame = SCENE.quantize(16) if mode == "P" else SCENE.convert("L")
    options = {} if transparency is None else {"transparency": transparency}
    gif = bytearray(encode(frame, "GIF", **options))
    gif[6:10] = struct.pack("<HH", *size_wh)
    gif[11] = background
    place = gif.index(b",\0\0\0\0\x1e\0\x14\0") + 1
    gif[place : place + 4] = struct.pack("<HH", *at)
    pixels = np.array(frame.convert("RGB"))
    if transparency is not None:
        pixels[np.asarray(frame) == transparency] = 255
    expected = np.full((max(size_wh[1], at[1] + 20), max(size_wh[0], at[0] + 30), 3), 255, np.uint8)
    expected[at[1] : at[1] + 20, at[0] : at[0] + 30] = pixels
    return bytes(gif), expected


@pytest.mark.parametrize("mode", ["P", "L"])
@pytest.mark.parametrize("transparency", [None, 2])
@pytest.mark.parametrize(
    ("size_wh", "at"),
    [
        pytest.param((30, 20), (0, 0), id="as large as the canvas"),
        pytest.param((50, 40), (0, 0), id="smaller"),
        pytest.param((50, 40), (7, 9), id="smaller, in its middle"),
        pytest.param((37, 29), (7, 9), id="smaller, at its end"),
        pytest.param((40, 20), (10, 0), id="narrower"),
        pytest.param((1500, 1500), (700, 1400), id="in a later band"),
        pytest.param((25, 15), (0, 0), id="larger"),
        pytest.param((25, 15), (3, 3), id="over its edge"),
    ],
)
def test_a_gif_frame_on_its_canvas(size_wh, at, transparency, mode):
    data, expected = on_canvas(size_wh, at, transparency, mode)
    np.testing.assert_array_equal(decode(data), expected)
    if expected.shape[0] > 100:
        np.testing.assert_array_equal(decode(data, 0.25), np.asarray(Image.fromarray(expected).reduce(4)))


@pytest.mark.parametrize(
    "stray", [b"\0", b"\0" * 20, b"!\xfe\5hello\0", b"!\xf9\4\0\0\0\0\0", b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"]
)
def test_what_stands_before_a_gif_frame_changes_nothing(stray):
    data, expected = on_canvas((30, 20), (0, 0))
    at = data.index(b",\0\0\0\0\x1e\0")
    np.testing.assert_array_equal(decode(data[:at] + stray + data[at:]), expected)


def test_a_gif_without_a_frame_is_refused():
    data, _ = on_canvas((30, 20), (0, 0))
    with pytest.raises(BadRequestError, match="GIF"):
        decode(data[: data.index(b",\0\0\0\0\x1e\0")] + b";")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_as_opencv_sees_it(mode):
    data = encode(SCENE.convert(mode), "BMP")
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize(
    ("compression", "says"), [(1, "run-length"), (2, "run-length"), (4, "JPEG-compressed"), (5, "PNG-compressed")]
)
def test_compressed_bmps_are_told_by_their_names(compression, says):
    data = bytearray(encode(SCENE.convert("L"), "BMP"))
    data[30:34] = struct.pack("<I", compression)
    with pytest.raises(UnsupportedMediaError, match=says):
        decode(bytes(data))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("frames", [1, 3])
def test_lossless_webp(mode, frames):
    image = SCENE.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(RNG.integers(0, 256, (20, 30), np.uint8)))
    options = {"save_all": True, "append_images": [image.rotate(180)] * (frames - 1)} if frames > 1 else {}
    data = encode(image, "WEBP", lossless=True, exact=True, **options)
    expected = np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")))
    np.testing.assert_allclose(decode(data).astype(int), expected[..., :3], atol=1)
    if mode != "RGBA" and frames == 1:
        np.testing.assert_array_equal(decode(data), cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1])


@pytest.mark.parametrize("reduction", [1, 2, 8])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": TURNED}], ids=["lossy", "lossless", "turned"])
def test_webp_has_the_pixels_that_pillow_reads(options, reduction):
    data = encode(SCENE.resize((301, 203)), "WEBP", **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").reduce(reduction))
    found = decode(data, 1 / reduction)
    np.testing.assert_array_equal(found, np.rot90(expected, 2) if "exif" in options else expected)
    with pytest.raises(BadRequestError, match="truncated or damaged"):
        decode(data[: len(data) // 2])
