"""TIFF in every layout: pixels as they were written, and as OpenCV and tifffile read them where these two agree."""

import io
import itertools
import warnings

import cv2
import numpy as np
import pytest
import tiff_files
import tifffile
from image_files import encode
from PIL import Image
from tiff_files import DEFLATE, LZW, NONE, OLD_DEFLATE, PACKBITS

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

WIDTH, HEIGHT = 37, 21
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}
RNG = np.random.default_rng(4)


def samples(bits, count):
    """Noise that reaches from the least to the largest value."""
    values = RNG.integers(0, 2**bits, (HEIGHT, WIDTH, count), np.uint64)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    return values


def to_8(values, bits):
    values = values.astype(np.uint64)
    if bits >= 16:
        return (values >> np.uint64(bits - 8)).astype(np.uint8)
    return np.round(values * 255 / (2**bits - 1)).astype(np.uint8)


def seen(values, bits, photometric, palette=None):
    """What a person sees, [height, width, 3]; by hand."""
    if photometric == 3:
        return palette[values[..., 0].astype(int)]
    eight = to_8(values, bits)
    if photometric == 5:
        c, m, y, k = (255 - eight[..., one].astype(float) for one in range(4))
        return np.stack([c, m, y], axis=-1) * k[..., np.newaxis] / 255
    eight = 255 - eight if photometric == 0 else eight
    return np.repeat(eight, 3, axis=-1) if eight.shape[-1] == 1 else eight[..., :3]


def decode(data, scale=1.0):
    return decode_image(data, 1_000_000, lambda size: scale).rgb


PALETTE = RNG.integers(0, 256, (256, 3), np.uint8)


def colour_map(bits, scale=257):
    return {320: tuple(int(one) * scale for one in PALETTE[: 2**bits].T.ravel())}


LAYOUTS = [
    *itertools.product((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32), (0, 1), (False,)),
    *itertools.product((1, 2, 4, 8), (3,), (False,)),
    *itertools.product((4, 8, 10, 12, 14, 16), (2, 5), (False, True)),
]


@pytest.mark.parametrize("mark", "<>")
@pytest.mark.parametrize(("bits", "photometric", "planar"), LAYOUTS)
def test_every_depth_and_meaning(bits, photometric, planar, mark):
    values = samples(bits, COLOURS[photometric])
    tags = colour_map(bits) if photometric == 3 else {}
    expected = seen(values, bits, photometric, PALETTE)
    for compression in (NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS):
        for predictor in (1, 2) if compression in (LZW, DEFLATE) and photometric != 3 else (1,):
            for tile_wh in (None, (16, 16), (48, 32)):
                options = {"compression": compression, "predictor": predictor, "tile_wh": tile_wh, "tags": tags}
                data = tiff_files.write(values, bits, photometric, mark=mark, planar=planar, **options)
                np.testing.assert_allclose(
                    decode(data), expected, atol=1.01 if photometric == 5 else 0, err_msg=str(options)
                )


def by_opencv(data, photometric):
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        return None
    found = found if found.ndim == 3 else found[..., np.newaxis]
    return found[..., ::-1] if photometric == 2 else found


def by_tifffile(data):
    try:
        with warnings.catch_warnings(action="ignore"), tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            found = page.asarray()
    except (ValueError, tifffile.TiffFileError, NotImplementedError):
        return None
    if page.planarconfig == 2 and found.ndim == 3:
        found = np.moveaxis(found, 0, -1)
    return found if found.ndim == 3 else found[..., np.newaxis]


@pytest.mark.parametrize("mark", "<>")
@pytest.mark.parametrize("planar", [False, True])
def test_two_other_decoders_see_the_same(mark, planar):
    agreed = 0
    for bits, photometric, compression, tile_wh in itertools.product(
        (8, 16, 32), (0, 1, 2), (NONE, DEFLATE), (None, (16, 16))
    ):
        for predictor in (1, 2) if compression == DEFLATE else (1,):
            if (planar and photometric < 2) or bits * COLOURS[photometric] > 64:
                continue
            values = samples(bits, COLOURS[photometric])
            options = {"compression": compression, "predictor": predictor, "tile_wh": tile_wh}
            data = tiff_files.write(values, bits, photometric, mark=mark, planar=planar, **options)
            one, other = by_opencv(data, photometric), by_tifffile(data)
            if one is None or other is None or one.shape != other.shape or (one != other).any():
                continue
            agreed += 1
            np.testing.assert_array_equal(decode(data), seen(other, bits, photometric))
    assert agreed >= (4 if planar else 12)


@pytest.mark.parametrize("fill_order", [1, 2])
@pytest.mark.parametrize("compression", [NONE, LZW, PACKBITS, DEFLATE])
@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_bits_in_reverse(bits, compression, fill_order):
    values = samples(bits, 1)
    data = tiff_files.write(values, bits, 1, compression=compression, fill_order=fill_order)
    np.testing.assert_array_equal(decode(data), seen(values, bits, 1))


@pytest.mark.parametrize("photometric", [1, 2])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        pytest.param((2,), "straight", id="alpha"),
        pytest.param((1,), "premultiplied", id="premultiplied alpha"),
        pytest.param((0,), "ignored", id="anything else"),
    ],
)
@pytest.mark.parametrize("planar", [False, True])
def test_extra_samples(photometric, bits, extra, expected, planar):
    count = COLOURS[photometric]
    values = samples(bits, count + 1)
    colours, alpha = to_8(values[..., :count], bits).astype(float), to_8(values[..., count:], bits).astype(float)
    laid = {
        "straight": (colours * alpha + 255 * (255 - alpha)) / 255,
        "premultiplied": np.minimum(colours + 255 - alpha, 255),
        "ignored": colours,
    }[expected]
    data = tiff_files.write(values, bits, photometric, planar=planar, tags={338: extra})
    np.testing.assert_allclose(decode(data), np.broadcast_to(laid, (HEIGHT, WIDTH, 3)), atol=0.51)


@pytest.mark.parametrize("scale", [257, 256, 1], ids=["16 bits", "16 bits, low ones zero", "8 bits, as scanners do"])
def test_palettes(scale):
    values = samples(8, 1)
    data = tiff_files.write(values, 8, 3, tags=colour_map(8, scale))
    np.testing.assert_array_equal(decode(data), PALETTE[values[..., 0].astype(int)])


def pages(*kinds):
    """Pages of 8x6, 16x12, 24x18 ... with tags that say what they are."""
    parts, at = b"", 8
    for index, (tag, value) in enumerate(kinds, 1):
        width, height = 8 * index, 6 * index
        pixels = bytes([40 * index]) * (width * height)
        entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
        entries += [(273, 4, 1, at), (277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, len(pixels)), (tag, 4, 1, value)]
        end = at + len(pixels) + 2 + 12 * len(entries) + 4
        follows = end + 48 * (index + 1) ** 2 if index < len(kinds) else 0
        parts += pixels + tiff_files.directory(entries, "<", follows)
        at = end
    return b"II*\0" + (8 + 48).to_bytes(4, "little") + parts


@pytest.mark.parametrize(
    ("kinds", "width"),
    [
        pytest.param([(254, 0), (254, 1)], 8, id="the first"),
        pytest.param([(254, 1), (254, 0)], 16, id="behind a thumbnail"),
        pytest.param([(255, 2), (255, 1)], 16, id="behind a thumbnail of the old kind"),
        pytest.param([(254, 4), (254, 1), (254, 2)], 24, id="behind a mask and a thumbnail"),
    ],
)
def test_the_first_page_of_full_size(kinds, width):
    assert decode_image(pages(*kinds), 10_000).size_wh == (width, width * 3 // 4)
    assert (decode(pages(*kinds)) == 40 * (width // 8)).all()


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr", "CMYK"])
def test_what_pillow_writes(compression, mode):
    image = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), np.uint8)).resize((90, 60), Image.Resampling.BICUBIC)
    options = {"quality": 98} if compression == "jpeg" else {}
    data = encode(image.convert(mode), "TIFF", compression=compression, **options)
    expected = np.asarray(image.convert(mode).convert("RGB")).astype(int)
    assert np.abs(decode(data) - expected).mean() < (4 if mode in ("YCbCr", "RGB") else 2)


@pytest.mark.parametrize("reduction", [1, 2, 8])
@pytest.mark.parametrize(
    ("size_wh", "tile_wh"),
    [
        pytest.param((80, 48), None, id="strips"),
        pytest.param((81, 50), None, id="strips, the last one of other height"),
        pytest.param((96, 48), (32, 16), id="tiles"),
        pytest.param((80, 50), (32, 16), id="tiles that reach over the edge"),
    ],
)
@pytest.mark.parametrize("photometric", [1, 2, 6, 5])
def test_jpeg_strips_and_tiles(photometric, size_wh, tile_wh, reduction):
    """Each is a JPEG file of its own, of components that only the TIFF tells the meaning of."""
    width, height = size_wh
    mode = {1: "L", 2: "RGB", 6: "YCbCr", 5: "CMYK"}[photometric]
    image = Image.fromarray(RNG.integers(0, 256, (4, 6, 3), np.uint8)).resize(size_wh, Image.Resampling.BICUBIC)
    stored = np.asarray(image.convert(mode)).reshape(height, width, -1)
    tile_w, tile_h = tile_wh or (width, 16)
    blob, places = b"", []
    for top in range(0, height, tile_h):
        for left in range(0, width, tile_w):
            part = stored[top : top + tile_h, left : left + tile_w]
            if tile_wh:
                part = np.pad(part, ((0, tile_h - part.shape[0]), (0, tile_w - part.shape[1]), (0, 0)))
            one = _jpeg(part)
            places.append((8 + len(blob), len(one)))
            blob += one
    count = stored.shape[2]
    lists = [8 + len(blob)]
    for values, kind in (([8] * count, "<H"), *((column, "<I") for column in zip(*places, strict=True))):
        blob += b"".join(int(value).to_bytes(2 if kind == "<H" else 4, "little") for value in values)
        lists.append(8 + len(blob))
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, count, lists[0] if count > 2 else 8), (259, 3, 1, 7)]
    entries += [(262, 3, 1, photometric), (277, 3, 1, count)]
    offsets, counts = (324, 325) if tile_wh else (273, 279)
    entries += [(offsets, 4, len(places), lists[1]), (counts, 4, len(places), lists[2])]
    entries += [(322, 3, 1, tile_w), (323, 3, 1, tile_h)] if tile_wh else [(278, 3, 1, tile_h)]
    expected = np.asarray(image.convert(mode).convert("RGB").reduce(reduction)).astype(int)
    found = decode(tiff_files.tiff(entries, blob), 1 / reduction)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < (2 if reduction == 1 else 3)
    assert np.abs(found - expected).max() < 40, "nothing of what is beyond the edge"


def _jpeg(components):
    """Components as they are, without a word about what they mean."""
    mode = {1: "L", 3: "YCbCr", 4: "CMYK"}[components.shape[2]]
    stored = 255 - components if mode == "CMYK" else components  # Pillow inverts it
    image = Image.fromarray(np.ascontiguousarray(stored.squeeze()), mode)
    data = encode(image, "JPEG", quality=98, subsampling=0)
    at = data.index(b"\xff\xdb")
    return data[:2] + data[at:]


GREY = samples(8, 1)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        pytest.param(tiff_files.write(GREY, 8, 1, tags={339: (2,)}), UnsupportedMediaError, "signed", id="signed"),
        pytest.param(
            tiff_files.write(samples(32, 1), 32, 1, tags={339: (3,)}),
            UnsupportedMediaError,
            "floating-point",
            id="float",
        ),
        pytest.param(tiff_files.write(GREY, 8, 8), UnsupportedMediaError, "CIELab", id="Lab"),
        pytest.param(tiff_files.write(samples(16, 1), 16, 32803), UnsupportedMediaError, "raw", id="raw sensor data"),
        pytest.param(tiff_files.write(GREY, 8, 1, tags={259: (4,)}), UnsupportedMediaError, "fax", id="fax"),
        pytest.param(
            tiff_files.write(GREY, 8, 1, tags={259: (6,)}), UnsupportedMediaError, "old-style JPEG", id="old JPEG"
        ),
        pytest.param(tiff_files.write(GREY, 8, 1, tags={259: (50000,)}), UnsupportedMediaError, "Zstandard", id="zstd"),
        pytest.param(
            tiff_files.write(GREY, 8, 1, tags={259: (4711,)}), UnsupportedMediaError, "number 4711", id="unknown"
        ),
        pytest.param(
            tiff_files.write(GREY, 8, 1, predictor=2), UnsupportedMediaError, "predictor", id="predictor alone"
        ),
        pytest.param(tiff_files.write(samples(8, 4), 8, 5, tags={332: (2,)}), UnsupportedMediaError, "inks", id="inks"),
        pytest.param(
            tiff_files.write(samples(8, 3), 8, 2, tags={258: (5, 6, 5)}), UnsupportedMediaError, "depths", id="5, 6, 5"
        ),
        pytest.param(tiff_files.write(samples(8, 5), 8, 2), UnsupportedMediaError, "four samples", id="five samples"),
        pytest.param(tiff_files.write(samples(32, 3), 32, 2), TooLargeError, "64 bits", id="96 bits a pixel"),
        pytest.param(pages((254, 1)), UnsupportedMediaError, "thumbnails", id="only a thumbnail"),
        pytest.param(b"II+\0" + bytes(60), UnsupportedMediaError, "BigTIFF", id="BigTIFF"),
        pytest.param(tiff_files.write(GREY, 8, 3), BadRequestError, "palette", id="no palette"),
        pytest.param(tiff_files.write(GREY, 8, 1)[:-40], BadRequestError, "TIFF", id="cut off"),
    ],
)
def test_what_is_not_read_is_told_by_its_name(data, error, says):
    with pytest.raises(error, match=says):
        decode(data)
