"""Whatever is sent as an image gives the image or one of three errors: soon, without log lines or another's pixels."""

import hashlib
import logging
import re
import time
import warnings

import bombs
import corpus
import numpy as np
import pytest
from corpus import MAGENTA
from image_files import encode
from PIL import Image

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

LIMIT = 40_000_000
REFUSALS = (BadRequestError, TooLargeError, UnsupportedMediaError)
# Of processor time: far more than any of these takes, far less than what they declare.
BOUND_S = 10.0

WHOLE = corpus.whole()


@pytest.fixture(autouse=True)
def as_in_the_server(capfd, caplog):
    """Warnings of Pillow's are filtered as in the server; nothing may be printed, nor logged as a fault."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        caplog.set_level(logging.WARNING)
        yield
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def outcome(data):
    """The kind of refusal, or the size and a digest of the pixels: whatever is the same for the same file."""
    started = time.thread_time()
    try:
        image = decode_image(data, LIMIT)
    except REFUSALS as error:
        result = type(error), str(error)
    else:
        magenta = (image.rgb == MAGENTA).all(axis=2).mean()
        assert magenta < 0.01, "pixels of another image"
        assert image.rgb.shape[1::-1] == image.size_wh
        result = image.size_wh, hashlib.sha256(image.rgb.tobytes()).hexdigest()
    assert time.thread_time() - started < BOUND_S
    assert 10 < len(result[1]) < 300
    return result


def poison(fmt):
    """Decode a magenta image, so that its pixels lie in whatever memory is used again."""
    fmt = fmt.partition("/")[0]
    image = decode_image(encode(Image.new("RGB", corpus.SIZE_WH, MAGENTA), fmt), LIMIT)
    assert abs(image.rgb.astype(int) - MAGENTA).max() < 4


@pytest.mark.parametrize("sample", [*WHOLE, *corpus.turned(), *corpus.polyglots()], ids=lambda sample: sample.name)
def test_a_whole_image_has_its_size_and_its_pixels(sample):
    poison(sample.name if not sample.name.startswith("MPO") else "JPEG")
    first = outcome(sample.data)
    assert first[0] == sample.size_wh
    assert outcome(sample.data) == first
    if "exif" not in sample.name:
        # Noise is the hardest for lossy formats and palettes: what must hold is its mean brightness.
        mean = decode_image(sample.data, LIMIT).rgb.mean()
        on_white = "A" in sample.name.rpartition("/")[2] and not sample.name.startswith("BMP")
        assert abs(mean - (128 * 200 + 255 * 55 if on_white else 128 * 255) / 255) < 6


@pytest.mark.parametrize("sample", corpus.animated(), ids=lambda sample: sample.name)
def test_of_several_frames_the_first_counts(sample):
    assert outcome(sample.data)[0] == sample.size_wh


@pytest.mark.parametrize("sample", WHOLE, ids=lambda sample: sample.name)
def test_damage_is_refused_or_gives_the_same_image_each_time(sample):
    poison(sample.name)
    for what, data in [*corpus.truncated(sample.data), *corpus.flipped(sample.data)]:
        first = outcome(data)
        assert outcome(data) == first, what
        if what.startswith("cut"):
            assert first[0] in REFUSALS, what


@pytest.mark.parametrize(("name", "data"), corpus.foreign(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_no_image_of_the_list_is_refused(name, data):
    assert outcome(data)[0] in (UnsupportedMediaError, BadRequestError)


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_is_refused_or_harmless(name):
    # Where a bomb is only in what goes beside the pixels, the small image is what comes out.
    assert outcome(bombs.BOMBS[name]())[0] in (*REFUSALS, (8, 8), (64, 64))


def test_the_tests_would_see_another_images_pixels():
    data = encode(Image.new("RGB", (8, 8), MAGENTA), "PNG")
    with pytest.raises(AssertionError, match=re.escape("pixels of another image")):
        outcome(data)


def test_reducing_in_bands_is_reducing_as_a_whole():
    rgb = corpus.scene((1100, 2047))
    image = decode_image(encode(rgb, "PNG", compress_level=1), LIMIT, lambda size: 0.3)
    np.testing.assert_array_equal(image.rgb, np.asarray(rgb.reduce(2)))
