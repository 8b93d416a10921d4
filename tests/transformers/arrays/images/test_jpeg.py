"""JPEG: every sampling, profiles and stray bytes that browsers pass over, and what is not read."""

import io
import itertools

import cv2
import image_files
import jpeg_files
import numpy as np
import pytest
from image_files import segment
from PIL import Image

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.errors import BadRequestError, UnsupportedMediaError

RNG = np.random.default_rng(3)
SCENE = Image.fromarray(RNG.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)


def encode(image=SCENE, **options):
    return image_files.encode(image, "JPEG", **{"quality": 95, **options})


def decode(data, scale=1.0):
    return decode_image(data, 1_000_000, lambda size: scale).rgb


PLAIN, PROGRESSIVE = encode(), encode(progressive=True)
# Across and down, of luma and of both chromas; at most ten blocks belong together.
SAMPLINGS = [
    (luma, chroma, other)
    for luma, chroma, other in itertools.product(itertools.product((1, 2, 3, 4), (1, 2, 3, 4)), repeat=3)
    if sum(h * v for h, v in (luma, chroma, other)) <= 10 and other in (chroma, (1, 1))
]


@pytest.mark.parametrize("luma", sorted({one[0] for one in SAMPLINGS}), ids=lambda one: f"{one[0]}x{one[1]}")
def test_every_sampling_is_as_opencv_and_pillow_see_it(luma):
    agreed = 0
    for factors in (one for one in SAMPLINGS if one[0] == luma):
        planes = [RNG.integers(60, 200, (8, 8)) for _ in range(3)]
        data = jpeg_files.write(planes, factors, (61, 45))
        one = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if one is None:  # libjpeg cannot scale by halves of a pixel either
            with pytest.raises((BadRequestError, UnsupportedMediaError)):
                decode(data)
            continue
        other = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        found = decode(data)
        if np.abs(one[..., ::-1].astype(int) - other).max() <= 1:
            agreed += 1
            np.testing.assert_allclose(found.astype(int), other, atol=1, err_msg=str(factors))
        assert decode(data, 0.5).shape == (23, 31, 3)
    assert agreed


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (1, 4), (3, 1)])
def test_grey_of_any_factors(factors):
    plane = RNG.integers(0, 256, (6, 8))
    expected = np.kron(plane, np.ones((8, 8), int))[:45, :61]
    for scale in (1.0, 0.5):
        found = decode(jpeg_files.write([plane], [factors], (61, 45)), scale)
        assert found.shape == ((45, 61, 3) if scale == 1 else (23, 31, 3))
    full = decode(jpeg_files.write([plane], [(1, 1)], (61, 45)))
    np.testing.assert_allclose(full, np.repeat(expected[..., np.newaxis], 3, axis=-1), atol=1)


def icc(number, count, data):
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + data)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(segment(0xE2, b"ICC_PROFILE\0"), id="an ICC segment cut short"),
        pytest.param(icc(1, 1, b""), id="an empty ICC segment"),
        pytest.param(icc(0, 0, b"abc"), id="an ICC segment of nothing"),
        pytest.param(icc(1, 3, b"abc") + icc(3, 3, b"abc"), id="an ICC segment is missing"),
        pytest.param(icc(1, 1, b"abc") * 2, id="an ICC segment twice"),
        pytest.param(icc(1, 2, b"abc") + icc(2, 1, b"abc"), id="ICC segments that disagree"),
        pytest.param(segment(0xE1, b"Exif\0\0"), id="an empty EXIF segment"),
        pytest.param(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), id="EXIF that points beyond its end"),
        pytest.param(segment(0xED, b"Photoshop 3.0\08BIM" + bytes(3)), id="damaged Photoshop data"),
        pytest.param(segment(0xE2, b"MPF\0II*\0" + bytes(8)), id="damaged multi-picture data"),
        pytest.param(segment(0xFE, b"\xff\xd9" * 9), id="a comment of end markers"),
        pytest.param(segment(0xE0, b"JFXX\0\x10" + encode(SCENE.resize((8, 8)))), id="a thumbnail"),
        pytest.param(b"\xff" * 9, id="fill bytes"),
        pytest.param(b"\0" * 9, id="stray zeros"),
        pytest.param(b"stray", id="stray text"),
        pytest.param(b"\xff\0\xff\0", id="stray stuffed bytes"),
        pytest.param(b"\xff\xd0", id="a stray restart"),
    ],
)
def test_what_stands_between_segments_changes_nothing(extra):
    for data in (PLAIN, PROGRESSIVE):
        expected = decode(data)
        at = 2
        while data[at + 1] != 0xDA:
            np.testing.assert_array_equal(decode(data[:at] + extra + data[at:]), expected)
            at += 2 + int.from_bytes(data[at + 2 : at + 4])


@pytest.mark.parametrize("stray", [b"\0", bytes(100), b"stray bytes", b"\xff\0" * 20, b"\xff" * 20])
@pytest.mark.parametrize("data", [PLAIN, PROGRESSIVE, encode(SCENE.convert("L"))], ids=["plain", "progressive", "grey"])
def test_stray_bytes_before_the_end_marker(data, stray):
    np.testing.assert_array_equal(decode(data[:-2] + stray + data[-2:]), decode(data))


def test_stray_bytes_between_scans():
    at = PROGRESSIVE.index(b"\xff\xda", PROGRESSIVE.index(b"\xff\xda") + 2)
    at = PROGRESSIVE.rindex(b"\xff\xc4", 0, at)
    np.testing.assert_array_equal(decode(PROGRESSIVE[:at] + bytes(40) + PROGRESSIVE[at:]), decode(PROGRESSIVE))


@pytest.mark.parametrize("transform", [None, 0, 1, 2])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_adobes_marker(mode, transform):
    """What the components mean, as Pillow and OpenCV understand it."""
    data = encode(SCENE.convert(mode))
    while b"\xff\xee" in data[:60]:
        at = data.index(b"\xff\xee")
        data = data[:at] + data[at + 16 :]
    at = data.index(b"\xff\xdb")
    adobe = b"" if transform is None else segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    data = data[:2] + adobe + data[at:]
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    np.testing.assert_allclose(decode(data), expected, atol=2)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25, 0.125])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_reduced_while_decoding(mode, scale):
    reduction = round(1 / scale)
    found = decode(encode(SCENE.convert(mode)), scale)
    expected = np.asarray(SCENE.convert(mode).convert("RGB").reduce(reduction)).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 3


def frame(marker=0xC0, precision=8, components=None, height=None):
    at = PLAIN.index(b"\xff\xc0")
    data = bytearray(PLAIN)
    data[at + 1], data[at + 4] = marker, precision
    if height is not None:
        data[at + 5 : at + 7] = height.to_bytes(2)
    if components is not None:
        data[at + 9] = components
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        pytest.param(frame(0xC1, 12), UnsupportedMediaError, "12 bits", id="12 bits"),
        pytest.param(frame(0xC3), UnsupportedMediaError, "lossless", id="lossless"),
        pytest.param(frame(0xC5), UnsupportedMediaError, "hierarchical", id="hierarchical"),
        pytest.param(frame(0xC9), UnsupportedMediaError, "arithmetic", id="arithmetic"),
        pytest.param(frame(0xCA), UnsupportedMediaError, "arithmetic", id="arithmetic, progressive"),
        pytest.param(frame(0xF7), UnsupportedMediaError, "JPEG-LS", id="JPEG-LS"),
        pytest.param(frame(components=2), UnsupportedMediaError, "2 components", id="two components"),
        pytest.param(frame(height=0), UnsupportedMediaError, "height", id="the height comes later"),
        pytest.param(PLAIN[:2] + PLAIN, BadRequestError, "", id="two beginnings"),
        pytest.param(PLAIN[:-2], BadRequestError, "truncated", id="no end"),
        pytest.param(PLAIN[: len(PLAIN) // 2], BadRequestError, "truncated", id="half"),
        pytest.param(PLAIN[:100], BadRequestError, "truncated", id="a beginning"),
        pytest.param(b"\xff\xd8\xff\xd9", BadRequestError, "header", id="nothing in it"),
    ],
)
def test_what_is_not_read(data, error, says):
    if says == "":  # harmless: the second is passed over
        np.testing.assert_array_equal(decode(data), decode(PLAIN))
        return
    with pytest.raises(error, match=says):
        decode(data)
