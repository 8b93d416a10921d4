"""PNG in every colour type and depth, with transparency of every kind, and chunks that make no pixels."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from image_files import chunk
from PIL import Image

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.errors import BadRequestError

WIDTH, HEIGHT = 33, 20
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
RNG = np.random.default_rng(5)
PALETTE = RNG.integers(0, 256, (256, 3), np.uint8)
# Adam7's passes: first column, first row, and their steps.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, colour_type, transparent=b"", interlaced=False, extra=b""):
    height, width, _ = samples.shape
    parts = [samples[y::down, x::across] for x, y, across, down in PASSES] if interlaced else [samples]
    rows = b"".join(b"\0" + row for part in parts if part.size for row in _rows(part, depth))
    palette = chunk(b"PLTE", PALETTE[: 2**depth].tobytes()) if colour_type == 3 else b""
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)),
            extra + palette + (chunk(b"tRNS", transparent) if transparent else b""),
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""),
        ]
    )


def _rows(part, depth):
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in part]
    shifts = np.arange(depth - 1, -1, -1)
    bits = (part[..., np.newaxis] >> shifts & 1).astype(np.uint8).reshape(len(part), -1)
    return [np.packbits(row).tobytes() for row in bits]


def samples(depth, colour_type):
    values = RNG.integers(0, 2**depth, (HEIGHT, WIDTH, SAMPLES[colour_type]))
    values[:5, :5] = values[0, 0]
    values[0, 1], values[0, 2] = 0, 2**depth - 1
    return values


def to_8(values, depth):
    return values >> 8 if depth == 16 else values * 255 // (2**depth - 1)


def seen(values, depth, colour_type, transparent=b""):
    """What a person sees on white, as floats; by hand."""
    alpha = np.ones((HEIGHT, WIDTH, 1))
    if colour_type == 3:
        alphas = np.frombuffer(transparent.ljust(256, b"\xff"), np.uint8)
        colours, alpha = PALETTE[values[..., 0]], alphas[values[..., 0]][..., np.newaxis] / 255
    elif colour_type in (4, 6):
        colours, alpha = to_8(values[..., :-1], depth), to_8(values[..., -1:], depth) / 255
    else:
        colours = to_8(values, depth)
        if transparent:
            alpha = 1 - (values == np.frombuffer(transparent, ">u2")).all(axis=-1, keepdims=True)
    return np.broadcast_to(colours * alpha + 255 * (1 - alpha), (HEIGHT, WIDTH, 3))


def decode(data):
    return decode_image(data, 1_000_000).rgb


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour_type", "depth"), [(c, d) for c, depths in DEPTHS.items() for d in depths])
def test_every_type_and_depth(colour_type, depth, interlaced):
    values = samples(depth, colour_type)
    found = decode(png(values, depth, colour_type, interlaced=interlaced))
    np.testing.assert_allclose(found, seen(values, depth, colour_type), atol=0.51)
    if colour_type in (0, 2) or (colour_type == 3 and depth == 8):  # OpenCV keeps alpha beside the colours
        data = np.frombuffer(png(values, depth, colour_type, interlaced=interlaced), np.uint8)
        np.testing.assert_array_equal(found, cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.mark.parametrize("colour_type", [0, 2])
@pytest.mark.parametrize("of", ["a value that is there", "a value that differs in its low bits", "black", "white"])
def test_one_colour_is_transparent(colour_type, of):
    for depth in DEPTHS[colour_type]:
        values = samples(depth, colour_type)
        colour = {"black": values[0, 1], "white": values[0, 2]}.get(of, values[0, 0])
        colour = colour ^ 1 if "low bits" in of else colour
        transparent = colour.astype(">u2").tobytes()
        found = decode(png(values, depth, colour_type, transparent))
        np.testing.assert_array_equal(found, seen(values, depth, colour_type, transparent), err_msg=str(depth))


@pytest.mark.parametrize(
    "transparent",
    [
        pytest.param(bytes([0]), id="the first colour"),
        pytest.param(bytes([255, 0]), id="the second colour"),
        pytest.param(bytes([255, 255, 0, 10]), id="an end that looks like a line break"),
        pytest.param(bytes([0, 10]), id="a short end that looks like a line break"),
        pytest.param(bytes([128] * 4), id="half transparent"),
        pytest.param(bytes([0, 0, 255, 255]), id="two colours"),
    ],
)
@pytest.mark.parametrize("depth", DEPTHS[3])
def test_colours_of_a_palette_are_transparent(depth, transparent):
    values = samples(depth, 3)
    stated = transparent[: 2**depth]
    found = decode(png(values, depth, 3, stated))
    np.testing.assert_allclose(found, seen(values, depth, 3, stated), atol=0.51)


HUGE = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(chunk(b"zTXt", b"a\0\0" + HUGE), id="a large packed text"),
        pytest.param(chunk(b"iTXt", b"a\0\1\0\0\0" + HUGE) * 3, id="large packed texts"),
        pytest.param(chunk(b"tEXt", bytes(2_000_000)), id="a large text"),
        pytest.param(chunk(b"iCCP", b"a\0\0" + HUGE), id="a large profile"),
        pytest.param(chunk(b"iCCP", b"a\0\0abc"), id="a damaged profile"),
        pytest.param(chunk(b"iCCP", b""), id="an empty profile"),
        pytest.param(chunk(b"eXIf", b"II*\0\xff"), id="damaged EXIF"),
        pytest.param(chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 6, 0, 0, 0)), id="a second header"),
        pytest.param(chunk(b"tIME", b"")[:-4] + b"abcd", id="a wrong sum of a chunk that is left out"),
        pytest.param(chunk(b"pHYs", b"1") + chunk(b"gAMA", b"") + chunk(b"cHRM", b"12"), id="damaged measures"),
        pytest.param(chunk(b"acTL", struct.pack(">II", 0, 0)) + chunk(b"fcTL", b""), id="a damaged animation"),
    ],
)
@pytest.mark.parametrize("interlaced", [False, True])
def test_chunks_without_pixels_change_nothing(extra, interlaced):
    values = samples(8, 2)
    found = decode(png(values, 8, 2, interlaced=interlaced, extra=extra))
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:8] + data[33:], id="no header"),
        pytest.param(lambda data: data[:29] + b"abcd" + data[33:], id="a wrong sum of the header"),
        pytest.param(lambda data: data.replace(b"IDAT", b"iDAT"), id="no pixels"),
        pytest.param(lambda data: data[:-40], id="cut off"),
        pytest.param(lambda data: data[:24] + b"\x03" + data[25:29] + struct.pack(">I", 0) + data[33:], id="3 bits"),
    ],
)
def test_damage_is_refused(damage):
    with pytest.raises(BadRequestError, match="PNG"):
        decode(damage(png(samples(8, 2), 8, 2)))


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_transparency_is_reduced_as_it_is_seen(reduction):
    values = samples(8, 0)
    data = png(values, 8, 0, values[0, 0].astype(">u2").tobytes())
    whole = Image.fromarray(decode(data))
    reduced = decode_image(data, 1_000_000, lambda size: 1 / reduction).rgb
    np.testing.assert_array_equal(reduced, np.asarray(whole.reduce(reduction)))
