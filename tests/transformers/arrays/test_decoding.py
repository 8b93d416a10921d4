"""Decoding: which files are accepted, with EXIF applied and colours as they are displayed, and which are refused."""

import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_files import chunk, encode
from PIL import Image

from kserve_transformers.arrays.decoding import DECODING, decode_image
from kserve_transformers.arrays.images.png import is_small
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

RED, LIMIT = (200, 30, 40), 1_000_000


def decode(data, **options):
    return decode_image(data, LIMIT, **options)


def scene(size=(64, 48)):
    """A red image with a blue top left corner: orientation shows."""
    image = Image.new("RGB", size, RED)
    image.paste((20, 30, 220), (0, 0, size[0] // 2, size[1] // 2))
    return image


FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIC"]


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(fmt, orientation):
    stored = scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(stored, fmt, exif=exif, **({"quality": 95} if fmt == "JPEG" else {})))
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation]
    expected = turn(np.asarray(stored))
    assert image.size_wh == expected.shape[1::-1]
    assert np.abs(image.rgb.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_large_image_is_reduced_as_far_as_its_reader_allows(fmt):
    data = encode(scene((640, 480)), fmt)
    assert decode(data, needed_scale=lambda size: 0.26).rgb.shape == (240, 320, 3)
    assert decode(data, needed_scale=lambda size: 0.25).rgb.shape == (120, 160, 3)
    assert decode(data, needed_scale=lambda size: 0.01).rgb.shape == (60, 80, 3)
    image = decode(data, needed_scale=lambda size: 0.25)
    assert image.size_wh == (640, 480)
    np.testing.assert_allclose(image.rgb[10, 10], (20, 30, 220), atol=8)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", BadRequestError, id="empty"),
        pytest.param(encode(scene(), "PPM"), UnsupportedMediaError, id="a format off the list"),
        pytest.param(encode(Image.new("F", (8, 8)), "TIFF"), UnsupportedMediaError, id="floating point"),
        pytest.param(encode(Image.new("1", (2000, 501)), "PNG"), TooLargeError, id="pixels over the limit"),
    ],
)
def test_what_is_not_let_in(data, error):
    with pytest.raises(error):
        decode(data)


def test_a_damaged_jpeg_scan_is_refused():
    data = bytearray(encode(scene((200, 200)), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff\x00" * 20
    with pytest.raises(BadRequestError, match="damaged"):
        decode(bytes(data))


SMALL = encode(Image.new("L", (28, 28), 77), "PNG")


@pytest.mark.parametrize(
    ("data", "small"),
    [
        pytest.param(SMALL, True, id="a digit"),
        pytest.param(encode(Image.new("L", (65, 64)), "PNG"), False, id="too many pixels"),
        pytest.param(SMALL[:-12] + chunk(b"tEXt", bytes(4096)) + SMALL[-12:], False, id="too many bytes"),
        pytest.param(
            SMALL[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**20))) + SMALL[33:], False, id="a profile"
        ),
        pytest.param(encode(Image.new("L", (28, 28)), "JPEG"), False, id="another format"),
    ],
)
def test_what_is_small(data, small):
    assert is_small(data) is small


def test_small_images_wait_for_no_memory():
    """The event loop decodes them itself."""
    with ThreadPoolExecutor(2) as threads, DECODING.spend(DECODING.limit):
        large = threads.submit(decode, encode(scene((200, 100)), "PNG"))
        assert threads.submit(decode, SMALL).result().rgb[0, 0, 0] == 77
        assert not large.done()
    assert large.result().size_wh == (200, 100)
