"""Checks what an encoded image declares about itself, before a codec relies on it.

A codec that goes through a file block by block, or allocates the memory that a header declares, can be kept busy by a
file of a few bytes. Here the blocks are counted, and nothing that is declared may be larger than the image.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

# Blocks (segments, chunks, extensions) that a codec goes through one by one: a 20 MB PNG in chunks of 1 KB has as many.
MAX_BLOCKS = 20_000
# Before a GIF's or a JPEG's pixels: Pillow joins comments and EXIF parts in quadratic time.
MAX_LEADING_BLOCKS = 2_000
# Each scan of a progressive JPEG goes over the whole image; encoders make 10 or so.
MAX_SCANS = 64
# What is decoded in a millisecond, whatever a file of so few bytes holds; packed texts and profiles may be far larger.
SMALL_PIXELS, SMALL_BYTES = 64 * 64, 4096
_PACKED = (b"zTXt", b"iTXt", b"iCCP")
# A directory's entries, and the strips or tiles that an entry lists.
MAX_TAGS, MAX_STRIPS = 500, 1 << 17

_ORIENTATION = 0x0112
_COMPRESSION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 259, 277, 322, 323
_STRIPS = (273, 279, 324, 325)
# None, LZW, deflate (both numbers), PackBits: what cameras and editors write. A JPEG inside a TIFF escapes the checks
# of a JPEG, and libtiff passes damaged fax lines and prints a message for each.
_COMPRESSIONS = (1, 5, 8, 32773, 32946)
# Bytes of one value by TIFF's field type, 1 to 12 (TIFF 6.0, section 2).
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
# The end of a JPEG's entropy-coded data: a marker that is neither a stuffed byte, a restart nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOS, _EOI = 0xDA, 0xD9
# Markers without a length behind them: TEM, JPG, RST0 to RST7, SOI, JPG0 to JPG13.
_BARE_MARKERS = frozenset([0x01, 0xC8, *range(0xD0, 0xD9), *range(0xF0, 0xFE)])


class _Entry(NamedTuple):
    """One entry of a TIFF directory.

    Attributes:
        tag: what it says.
        kind: TIFF's field type.
        values: how many.
        number: the value, where it is a single BYTE, SHORT or LONG; otherwise meaningless.
    """

    tag: int
    kind: int
    values: int
    number: int


def check_header(data: bytes, max_pixels: int) -> None:
    """Refuse a file whose structure would keep a codec busy or make it take more memory than its pixels need.

    Files that are not well-formed otherwise pass: it is the codec that knows.

    Args:
        data: an encoded image of any format.
        max_pixels: of a tile or a frame.

    Raises:
        BadRequestError: too many blocks, or blocks that lie outside the file.
        TooLargeError: a tile or a frame is larger than an image may be.
        UnsupportedMediaError: a compression that is not read.
    """
    for signature, check in _CHECKS.items():
        if data.startswith(signature):
            check(data, max_pixels)


def is_small(data: bytes) -> bool:
    """Whether a file is a PNG of so few bytes and pixels that it is not worth a thread."""
    return (
        len(data) <= SMALL_BYTES
        and not any(kind in data for kind in _PACKED)
        and data[12:16] == b"IHDR"
        and data.count(b"IHDR") == 1  # of several, the last counts
        and int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) <= SMALL_PIXELS
    )


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that EXIF data states; 1 where it states none (tag 274)."""
    tiff = exif.removeprefix(b"Exif\0\0")
    if not tiff.startswith((b"II", b"MM")):
        return 1
    stated = (entry.number for entry in _directory(tiff) if entry.tag == _ORIENTATION and entry.values == 1)
    return next((number for number in stated if 1 <= number <= 8), 1)


def _check_jpeg(data: bytes, max_pixels: int) -> None:
    scans = 0
    for segments, marker in enumerate(_jpeg_markers(data), 1):
        scans += marker == _SOS
        if scans > MAX_SCANS or segments > MAX_LEADING_BLOCKS:
            raise _too_many("segments")


def _jpeg_markers(data: bytes) -> Iterator[int]:
    """The markers of all segments up to the image's end; restarts are part of a scan."""
    at = 2
    while at + 4 <= len(data) and data[at + 1] != _EOI:
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0:
            raise BadRequestError("the JPEG image is damaged: there is something between its segments")
        yield marker
        if marker == 0xFF:
            at += 1  # a fill byte
        elif marker in _BARE_MARKERS:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == _SOS:
            found = _MARKER.search(data, at)
            at = found.start() if found else len(data)


def _check_png(data: bytes, max_pixels: int) -> None:
    at = 8
    for _ in range(MAX_BLOCKS):
        if at + 8 > len(data) or data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + int.from_bytes(data[at : at + 4])
    raise _too_many("chunks")


def _check_gif(data: bytes, max_pixels: int) -> None:
    if len(data) < 13:
        return
    at = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)
    blocks = 0
    while data[at : at + 1] == b"!":  # an extension: its label, then blocks up to an empty one
        at, length = at + 2, 1
        while length:
            blocks += 1
            if blocks > MAX_LEADING_BLOCKS:
                raise _too_many("blocks")
            length = data[at] if at < len(data) else 0
            at += 1 + length
    if data[at : at + 1] == b"," and at + 9 <= len(data):
        left, top, width, height = struct.unpack_from("<4H", data, at + 1)
        pixels = (left + width) * (top + height)
        if pixels > max_pixels:  # it need not lie within the image
            raise TooLargeError(f"the GIF image's frame has more than {max_pixels} pixels: scale it down", pixels)


def _check_bmp(data: bytes, max_pixels: int) -> None:
    if len(data) >= 34 and int.from_bytes(data[30:34], "little") in (1, 2) and data[14] >= 40:
        raise UnsupportedMediaError("run-length encoded BMP images are not read: save it uncompressed or as PNG")


def _check_tiff(data: bytes, max_pixels: int) -> None:
    entries = _directory(data)
    tags = {entry.tag: entry for entry in entries}
    claimed = sum(_TYPE_BYTES.get(entry.kind, 16) * entry.values for entry in entries)
    if len(entries) > MAX_TAGS or len(tags) < len(entries):
        raise _too_many("tags")
    if claimed > len(data) or any(tags[tag].values > MAX_STRIPS for tag in _STRIPS if tag in tags):
        raise BadRequestError("the TIFF image is damaged: its tags claim more than there is")

    def number(tag: int, default: int) -> int:
        if tag in tags and (tags[tag].kind not in (3, 4) or tags[tag].values != 1):
            raise BadRequestError("the TIFF image is damaged: a tag has a type that it cannot have")
        return tags[tag].number if tag in tags else default

    if number(_COMPRESSION, 1) not in _COMPRESSIONS:
        raise UnsupportedMediaError("the TIFF image's compression is not read: use LZW, deflate or none")
    if number(_SAMPLES, 1) > 4:
        raise UnsupportedMediaError("the TIFF image has more than four samples a pixel: send RGB or grey")
    pixels = number(_TILE_WIDTH, 0) * number(_TILE_HEIGHT, 0)
    if pixels > max_pixels:
        raise TooLargeError("the TIFF image's tiles have more pixels than an image may have: use smaller tiles", pixels)


def _check_big_tiff(data: bytes, max_pixels: int) -> None:
    raise UnsupportedMediaError("BigTIFF is not read: save it as an ordinary TIFF")


def _directory(data: bytes) -> list[_Entry]:
    """The first directory's entries; none where there is no directory."""
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"
    mark = "<" if order == "little" else ">"
    at = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[at : at + 2], order)
    fields = data[at + 2 : at + 2 + 12 * count]
    return [
        _Entry(tag, kind, values, int.from_bytes(value[: _TYPE_BYTES.get(kind, 4)], order))
        for tag, kind, values, value in struct.iter_unpack(mark + "HHI4s", fields[: len(fields) // 12 * 12])
    ]


def _too_many(what: str) -> BadRequestError:
    return BadRequestError(f"the image's file is made of too many {what}: save it anew with an ordinary program")


_CHECKS: Mapping[bytes, Callable[[bytes, int], None]] = {
    b"\xff\xd8": _check_jpeg,
    b"\x89PNG": _check_png,
    b"GIF8": _check_gif,
    b"BM": _check_bmp,
    b"II*\0": _check_tiff,
    b"MM\0*": _check_tiff,
    b"II\0*": _check_tiff,  # these two are wrong, but Pillow reads them
    b"MM*\0": _check_tiff,
    b"II+\0": _check_big_tiff,
    b"MM\0+": _check_big_tiff,
}
