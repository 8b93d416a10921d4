"""PNG: Pillow gets only the chunks that make pixels; transparency without an alpha channel is applied here."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from kserve_transformers.arrays.images.colour import read_profile
from kserve_transformers.arrays.images.encoded import RGB, Encoded, check_pixels, open_with_pillow, too_many
from kserve_transformers.arrays.images.exif import orientation
from kserve_transformers.arrays.images.render import flat, on_white, render
from kserve_transformers.errors import BadRequestError

# Chunks that are gone through one by one: a 20 MB PNG in chunks of 1 KB has as many.
_MAX_CHUNKS = 20_000
# What is decoded in a millisecond, whatever a file of so few bytes holds; a packed profile may be far larger.
SMALL_PIXELS, SMALL_BYTES = 64 * 64, 4096
_MAX_PROFILE_BYTES = 4 * 2**20
_KEPT = (b"PLTE", b"IDAT", b"IEND")
_GREY, _RGB, _PALETTE = 0, 2, 3


@dataclass(frozen=True)
class _Chunks:
    """A file's chunks.

    `kept` are those that make pixels, as a file; `contents` are of the first chunk of each other kind.
    """

    kept: bytes
    contents: Mapping[bytes, bytes]


def is_small(data: bytes) -> bool:
    """Whether a file is a PNG of so few bytes and pixels that it is not worth a thread."""
    return (
        len(data) <= SMALL_BYTES
        and b"iCCP" not in data
        and data[12:16] == b"IHDR"
        and int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) <= SMALL_PIXELS
    )


def open_png(data: bytes, max_pixels: int) -> Encoded:
    """Read a PNG's header.

    Raises:
        TooLargeError: more pixels than allowed.
        BadRequestError: damaged, or made of too many chunks.
    """
    chunks = _read_chunks(data)
    header = chunks.contents.get(b"IHDR", b"")
    if len(header) != 13:
        raise BadRequestError("the PNG image is truncated or damaged: its header cannot be read")
    size_wh = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    check_pixels(size_wh, max_pixels)
    transparent = chunks.contents.get(b"tRNS", b"")

    def decode(reduction: int) -> RGB:
        image = open_with_pillow(chunks.kept, "PNG", max_pixels)
        low = _low_bytes(chunks.kept, max_pixels) if header[8:10] == b"\x10\x02" and len(transparent) == 6 else None
        image.load()
        if header[9] == _PALETTE and transparent:
            _make_opaque(image, transparent)

        def band(top: int, bottom: int) -> Image.Image:
            box = (0, top, image.width, bottom)
            return _visible(image.crop(box), low.crop(box) if low else None, header[8], header[9], transparent)

        return render(size_wh, reduction, band, read_profile(_unpacked(chunks.contents.get(b"iCCP", b""))))

    # RGBA and the answer, straight and turned
    return Encoded(size_wh, orientation(chunks.contents.get(b"eXIf", b"")), 10 * size_wh[0] * size_wh[1], decode)


def _read_chunks(data: bytes) -> _Chunks:
    contents: dict[bytes, bytes] = {}
    kept, at = [data[:8]], 8
    for _ in range(_MAX_CHUNKS):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        if len(kind) < 4:
            break
        if kind in _KEPT or (kind == b"IHDR" and kind not in contents):
            kept.append(data[at:end])
        if kind not in _KEPT:
            contents.setdefault(kind, data[at + 8 : end - 4])
        if kind == b"IEND":
            break
        at = end
    else:
        raise too_many("chunks")
    return _Chunks(b"".join(kept), contents)


def _visible(
    image: Image.Image, low: Image.Image | None, depth: int, colour_type: int, transparent: bytes
) -> Image.Image:
    """A band on white, with 8 bits a sample."""
    samples: npt.NDArray[np.integer] = np.asarray(image)
    hidden = None
    if colour_type == _GREY and len(transparent) == 2:
        value = int.from_bytes(transparent) & (2**depth - 1)
        if image.mode == "1":
            samples = samples.astype(np.uint8) * np.uint8(255)
        hidden = samples == (value if depth == 16 else value * 255 // (2**depth - 1))
    elif colour_type == _RGB and len(transparent) == 6:
        values = [value & (2**depth - 1) for value in struct.unpack(">3H", transparent)]
        hidden = (samples == [value >> (depth - 8) for value in values]).all(axis=-1)
        if low is not None:
            hidden &= (np.asarray(low) == [value & 0xFF for value in values]).all(axis=-1)
    if image.mode.startswith("I"):
        samples = (samples >> 8).astype(np.uint8)
    elif hidden is None:
        return flat(image)
    if hidden is not None:
        samples = samples.copy()
        samples[hidden] = 255
    return Image.fromarray(samples)


def _low_bytes(data: bytes, max_pixels: int) -> Image.Image:
    """The low bytes of 16-bit RGB, of which Pillow gives the high ones."""
    image = open_with_pillow(data, "PNG", max_pixels)
    assert isinstance(image, ImageFile.ImageFile)  # noqa: S101
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    image.load()
    return image


def _make_opaque(image: Image.Image, alpha: bytes) -> None:
    """Lay the colours of a palette on white."""
    palette = np.frombuffer(bytes(image.getpalette("RGB") or []), np.uint8).reshape(-1, 3)
    alphas = np.full(len(palette), 255, np.uint8)
    stated = np.frombuffer(alpha[: len(palette)], np.uint8)
    alphas[: len(stated)] = stated
    image.putpalette(on_white(palette, alphas).tobytes())


def _unpacked(profile: bytes) -> bytes | None:
    """An ICC profile out of its chunk: a name, a zero, the method, and packed data."""
    packed = profile.partition(b"\0")[2][1:]
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return unpacked if unpacker.eof else None
