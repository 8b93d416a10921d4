"""AVIF and HEIC: turned as their containers say and once, tiles, alpha, and headers that do not tell the truth."""

import io
import struct

import cv2
import heif_files
import numpy as np
import pytest
from heif_files import Item, coded, encode, grid, ispe
from PIL import Image

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.arrays.images import av1, hevc
from kserve_transformers.arrays.images.boxes import read_container
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

RNG = np.random.default_rng(9)
SCENE = Image.fromarray(np.kron(RNG.integers(30, 220, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8)))
PIXELS = np.asarray(SCENE).astype(int)
FORMATS = pytest.mark.parametrize("fmt", ["AVIF", "HEIC"])
CODED = {fmt: coded(SCENE, fmt) for fmt in ("AVIF", "HEIC")}


def decode(data, limit=1_000_000):
    return decode_image(data, limit).rgb.astype(int)


def one(fmt, *properties, data=None, size=None):
    """A file of one image with further properties."""
    item = CODED[fmt]
    own = [(kind, content) for kind, content in item.properties if not (size and kind == b"ispe")]
    own += [ispe(*size)] if size else []
    return heif_files.write({1: Item(item.kind, data or item.data, own + list(properties))}, 1, heif_files.BRANDS[fmt])


def assert_shows(data, expected):
    found = decode(data)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 3


@FORMATS
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes(fmt, mode):
    image = SCENE.convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(np.kron(RNG.integers(0, 256, (4, 6), np.uint8), np.ones((16, 16), np.uint8))))
    white = Image.new("RGBA", image.size, "white")
    expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")).astype(int)
    assert_shows(encode(image, fmt), expected)


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_avif_of_every_depth_as_opencv_writes_it(depth):
    samples = (np.asarray(SCENE).astype(np.uint16) << (depth - 8))[..., ::-1]
    samples = samples.astype(np.uint8) if depth == 8 else samples
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 95, cv2.IMWRITE_AVIF_SPEED, 9]
    _, data = cv2.imencode(".avif", samples, options)
    found = decode(data.tobytes())
    assert np.abs(found - PIXELS).mean() < 8  # its chroma has half the resolution
    if depth == 8:
        np.testing.assert_allclose(found, cv2.imdecode(data, 1)[..., ::-1], atol=3)


@pytest.mark.parametrize("chroma", [420, 422, 444])
@pytest.mark.parametrize("deep", [False, True])
def test_heic_of_every_sampling_and_depth(chroma, deep):
    import pillow_heif

    buffer = io.BytesIO()
    samples = np.asarray(SCENE).astype(np.uint16) * 257 if deep else np.asarray(SCENE)
    file = pillow_heif.from_bytes("RGB;16" if deep else "RGB", SCENE.size, np.ascontiguousarray(samples).tobytes())
    file.save(buffer, quality=95, chroma=chroma)
    assert np.abs(decode(buffer.getvalue()) - PIXELS).mean() < (3 if chroma == 444 else 12)


@FORMATS
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_turned_and_mirrored_by_the_container(fmt, turns, axis):
    properties = [(b"irot", bytes([turns]))] if turns else []
    properties += [] if axis is None else [(b"imir", bytes([axis]))]
    expected = np.rot90(PIXELS, turns)
    expected = expected if axis is None else expected[::-1] if axis == 0 else expected[:, ::-1]
    data = one(fmt, *properties)
    assert_shows(data, expected)
    assert decode_image(data, 1_000_000).size_wh == expected.shape[1::-1]


@FORMATS
@pytest.mark.parametrize("turns", [0, 1])
def test_exif_does_not_turn_it_again(fmt, turns):
    exif = Image.Exif()
    exif[0x0112] = 3
    item = CODED[fmt]
    turned = Item(item.kind, item.data, [*item.properties, (b"irot", bytes([turns]))])
    metadata = Item(b"Exif", bytes(4) + exif.tobytes(), [], {b"cdsc": [1]})
    assert_shows(heif_files.write({1: turned, 2: metadata}, 1, heif_files.BRANDS[fmt]), np.rot90(PIXELS, turns))


@FORMATS
def test_cropped_by_the_container(fmt):
    """96x64, of which 48x32 are shown, 16 to the right of the middle and 8 above it."""
    aperture = struct.pack(">8i", 48, 1, 32, 1, 16, 1, -8, 1)
    assert_shows(one(fmt, (b"clap", aperture)), PIXELS[8:40, 40:88])
    assert decode_image(one(fmt, (b"clap", aperture)), 1_000_000).size_wh == (48, 32)


def tiled(fmt, size_wh=(150, 100), columns=2, rows=2, tiles=None):
    """Tiles of 96x64 from left to right and from top to bottom, each another colour."""
    tiles = tiles if tiles is not None else list(range(2, 2 + rows * columns))
    items = {n: coded(Image.new("RGB", (96, 64), (40 * n, 200 - 30 * n, 90)), fmt) for n in sorted(set(tiles) - {1})}
    return heif_files.write({1: grid(rows, columns, *size_wh, tiles), **items}, 1, heif_files.BRANDS[fmt])


@FORMATS
def test_tiles(fmt):
    expected = np.zeros((100, 150, 3), int)
    for number in range(2, 6):
        x, y = 96 * (number % 2), 64 * (number // 2 - 1)
        expected[y : y + 64, x : x + 96] = (40 * number, 200 - 30 * number, 90)
    assert_shows(tiled(fmt), expected)


@pytest.mark.parametrize("fmt", ["AVIF", "HEIC"])
@pytest.mark.parametrize("brand", [b"mif1", b"msf1", b"miaf"])
def test_files_may_call_themselves_by_general_names(fmt, brand):
    data = one(fmt)
    assert_shows(data[:8] + brand + data[12:], PIXELS)


def test_of_an_avif_sequence_the_still_image_counts():
    assert_shows(encode(SCENE, "AVIF", save_all=True, append_images=[SCENE.rotate(180)]), PIXELS)


def item_of(fmt, **changes):
    item = CODED[fmt]
    return Item(changes.get("kind", item.kind), changes.get("data", item.data), item.properties)


@FORMATS
@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        pytest.param(lambda fmt: one(fmt, size=(20_000, 20_000)), TooLargeError, "400000000 pixels", id="too large"),
        pytest.param(lambda fmt: one(fmt, size=(8, 8)), BadRequestError, "different sizes", id="the codec says more"),
        pytest.param(lambda fmt: one(fmt, size=(0, 8)), BadRequestError, "0x8", id="no pixels"),
        pytest.param(
            lambda fmt: one(fmt, data=CODED[fmt].data * 20),
            BadRequestError,
            "AVIF|HEIC|frames",
            id="many images in one",
        ),
        pytest.param(lambda fmt: one(fmt, data=b"\0" * 40), BadRequestError, "AVIF|HEIC|frames", id="no image in it"),
        pytest.param(lambda fmt: one(fmt)[:-30], BadRequestError, "truncated", id="cut off"),
        pytest.param(
            lambda fmt: tiled(fmt, (190, 127), tiles=[2, 3, 4]),
            BadRequestError,
            "AVIF|HEIC|frames",
            id="a tile is missing",
        ),
        pytest.param(
            lambda fmt: tiled(fmt, tiles=[2, 3, 4, 1]), BadRequestError, "AVIF|HEIC|frames", id="a tile of itself"
        ),
        pytest.param(
            lambda fmt: tiled(fmt, (20, 20), 60, 60, [2] * 3600), TooLargeError, "tiles", id="one tile very often"
        ),
        pytest.param(
            lambda fmt: heif_files.write({1: item_of(fmt, kind=b"iovl")}, 1, heif_files.BRANDS[fmt]),
            UnsupportedMediaError,
            "overlaid",
            id="an overlay",
        ),
        pytest.param(
            lambda fmt: heif_files.write({1: item_of(fmt, kind=b"vvc1")}, 1, heif_files.BRANDS[fmt]),
            UnsupportedMediaError,
            "VVC",
            id="another codec",
        ),
        pytest.param(
            lambda fmt: heif_files.write({1: item_of(fmt)}, 2, heif_files.BRANDS[fmt]),
            BadRequestError,
            "header",
            id="no such item",
        ),
        pytest.param(
            lambda fmt: b"\0\0\0\x18ftyp" + heif_files.BRANDS[fmt] + b"\0\0\0\0mif1miaf" + heif_files.box(b"moov"),
            UnsupportedMediaError,
            "sequence",
            id="a sequence alone",
        ),
    ],
)
def test_headers_that_do_not_tell_the_truth(fmt, make, error, says):
    with pytest.raises(error, match=says):
        decode(make(fmt), 1_000_000)


def test_a_grid_that_says_more_of_itself_than_its_container():
    data = bytearray(tiled("HEIC"))
    at = data.index(struct.pack(">BBBBHH", 0, 0, 1, 1, 150, 100))
    data[at + 4 : at + 8] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(BadRequestError, match="HEIC"):
        decode(bytes(data))


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (97, 33), (1000, 700)])
@FORMATS
def test_the_codecs_own_size(fmt, size):
    """Whole blocks; both readers against two encoders."""
    for options in ({}, {"subsampling": "4:2:0"} if fmt == "AVIF" else {"chroma": 420}):
        container = read_container(encode(Image.new("RGB", size), fmt, **options))
        item = container.items[container.primary]
        reader, configuration = (av1, b"av1C") if fmt == "AVIF" else (hevc, b"hvcC")
        pixels, deep = reader.coded(item.stated(configuration), item.data)
        assert size[0] * size[1] <= pixels <= (size[0] + 63) * (size[1] + 63)
        assert not deep
