"""AVIF by Pillow (libavif) and HEIC by pi-heif (libheif): the same container, two codecs."""

import struct
from fractions import Fraction

import pi_heif
from PIL import AvifImagePlugin, Image

from kserve_transformers.arrays.images import av1, hevc
from kserve_transformers.arrays.images.boxes import Container, Item, read_container
from kserve_transformers.arrays.images.colour import read_profile
from kserve_transformers.arrays.images.encoded import RGB, Encoded, check_pixels, damaged, open_with_pillow
from kserve_transformers.arrays.images.exif import orientation
from kserve_transformers.arrays.images.render import flat, render
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

# The thread that decodes an image is one of as many as there should be.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False

_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIC"),
}
_CODECS = {b"av01": "AVIF", b"hvc1": "HEIC", b"hev1": "HEIC"}
_CODECS_NOT_READ = {
    b"jpeg": "JPEG", b"avc1": "AVC", b"vvc1": "VVC", b"evc1": "EVC", b"j2k1": "JPEG 2000", b"unci": "uncompressed",
    b"iovl": "overlaid", b"iden": "derived", b"tmap": "gain-mapped",
}  # fmt: skip
# As measured by tests/fuzz/test_memory.py; with more than 8 bits and alpha libheif needs more.
_BYTES_PER_PIXEL, _BYTES_PER_DEEP_PIXEL = 16, 22
# Tiles at the right and the bottom reach over the image.
_TILES_FACTOR = 2
# By how many pixels a side the codec's size may be larger, as HEVC states it in whole blocks; libavif would scale it.
_ALIGNED = {b"av01": 8, b"hvc1": 64, b"hev1": 64}


def brand(data: bytes) -> str | None:
    """AVIF or HEIC, as the file calls itself; None where it is neither."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4]), 1024)
    stated = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    found = [_BRANDS[one] for one in stated if one in _BRANDS]
    return "AVIF" if "AVIF" in found else found[0] if found else None


def open_heif(data: bytes, max_pixels: int) -> Encoded:
    """Read the header of an AVIF or HEIC image.

    Raises:
        UnsupportedMediaError: coded in a way that is not read.
        TooLargeError: more pixels than allowed, in the container's or the codec's header.
        BadRequestError: damaged.
    """
    container = read_container(data)
    primary = container.items[container.primary]
    check_pixels(primary.size_wh, max_pixels)
    pixels, deep = _check(container, primary, max_pixels)
    per_pixel = _BYTES_PER_PIXEL
    if primary.alpha is not None:
        _check(container, container.items[primary.alpha], max_pixels)
        per_pixel = _BYTES_PER_DEEP_PIXEL if deep and container.codec(primary) != b"av01" else per_pixel
    if per_pixel * primary.pixels > _BYTES_PER_PIXEL * max_pixels:
        raise TooLargeError("the image has too many pixels for its alpha channel and bit depth: scale it down", pixels)
    needed = per_pixel * max(pixels, primary.pixels)
    return (_open_avif if container.codec(primary) == b"av01" else _open_heic)(container, max_pixels, needed)


def _check(container: Container, item: Item, max_pixels: int) -> tuple[int, bool]:
    """Pixels that are decoded for an image, and whether they have more than 8 bits, from the headers of its codec."""
    kind = container.codec(item)
    if kind not in _CODECS:
        name = _CODECS_NOT_READ.get(kind, repr(kind.decode("latin-1")))
        raise UnsupportedMediaError(f"{name} images in a HEIF file are not read: send it as HEIC, AVIF, JPEG or PNG")
    check_pixels(item.size_wh, max_pixels)
    parts = _grid(container, item, kind) if item.kind == b"grid" else [item]
    pixels = sum(part.pixels for part in parts)
    if pixels > _TILES_FACTOR * max_pixels:
        raise TooLargeError(f"the image's tiles have far more than {max_pixels} pixels: scale it down", pixels)
    deep = False
    for part in {id(part): part for part in parts}.values():  # each once, though it may come often
        check_pixels(part.size_wh, max_pixels)
        if kind == b"av01":
            coded, part_deep = av1.coded(part.stated(b"av1C") or b"", part.data)
        else:
            coded, part_deep = hevc.coded(part.stated(b"hvcC") or b"", part.data)
        if not part.pixels <= coded <= (part.size_wh[0] + _ALIGNED[kind]) * (part.size_wh[1] + _ALIGNED[kind]):
            raise BadRequestError("the image is damaged: its container and its codec state different sizes")
        deep |= part_deep
    return pixels, deep


def _grid(container: Container, item: Item, kind: bytes) -> list[Item]:
    """The tiles of an image, with its own description of itself checked (ISO/IEC 23008-12, 6.6.2.3)."""
    wide = 4 if item.data[1:2] == b"\1" else 2
    rows, columns = (int.from_bytes(item.data[at : at + 1]) + 1 for at in (2, 3))
    size_wh = tuple(int.from_bytes(item.data[at : at + wide]) for at in (4, 4 + wide))
    tiles = [container.items[number] for number in item.tiles if number in container.items]
    if len(tiles) != rows * columns or size_wh != item.size_wh or any(tile.kind != kind for tile in tiles):
        raise damaged(_CODECS[kind])
    return tiles


def _open_avif(container: Container, max_pixels: int, needed: int) -> Encoded:
    image = open_with_pillow(container.readable, "AVIF", max_pixels)
    left, top, right, bottom = _cropped(container.items[container.primary], image.size)
    turned = orientation(image.info.get("exif", b""))  # the container's: that of EXIF is hidden

    def decode(reduction: int) -> RGB:
        image.load()
        return render(
            (right - left, bottom - top),
            reduction,
            lambda begin, end: flat(image.crop((left, top + begin, right, top + end))),
            read_profile(image.info.get("icc_profile")),
        )

    return Encoded((right - left, bottom - top), turned, needed, decode)


def _cropped(item: Item, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the image that is shown: left, top, right, bottom (ISO/IEC 14496-12, 12.1.4)."""
    aperture = item.stated(b"clap")
    if aperture is None:
        return 0, 0, *size_wh
    try:
        width, height, x, y = (Fraction(*pair) for pair in struct.iter_unpack(">ii", aperture[:32]))
    except (ZeroDivisionError, ValueError, struct.error):
        raise damaged("AVIF") from None
    left, top = (size_wh[0] - width) / 2 + x, (size_wh[1] - height) / 2 + y
    box = left, top, left + width, top + height
    if not (0 <= left < box[2] <= size_wh[0] and 0 <= top < box[3] <= size_wh[1]):
        raise damaged("AVIF")
    return tuple(round(side) for side in box)  # type: ignore[return-value]


def _open_heic(container: Container, max_pixels: int, needed: int) -> Encoded:
    """Turned and cropped by libheif."""
    try:
        file = pi_heif.open_heif(container.readable)
        size_wh = file.size
    except Exception as exc:  # libheif's errors come as several classes
        raise BadRequestError("the HEIC image is truncated or damaged: its header cannot be read") from exc

    check_pixels(size_wh, max_pixels)

    def decode(reduction: int) -> RGB:
        mode = file.mode
        image = Image.frombuffer(mode, file.size, file.data, "raw", mode, file.stride, 1)
        if image.size != size_wh:
            raise damaged("HEIC")
        return render(
            size_wh,
            reduction,
            lambda top, bottom: flat(image.crop((0, top, image.width, bottom))),
            read_profile(file.info.get("icc_profile")),
        )

    return Encoded(size_wh, 1, needed, decode)
