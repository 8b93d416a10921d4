"""TIFF's directories, in which EXIF is written too."""

import struct
from typing import Literal, NamedTuple

ORIENTATION = 0x0112
# Bytes of one value by TIFF's field type, 1 to 13 (TIFF 6.0, section 2; 13 is the offset of a directory).
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


class Entry(NamedTuple):
    """One entry of a TIFF directory."""

    tag: int  # what it says
    kind: int  # TIFF's field type
    values: int  # how many
    number: int  # the value, where it is a single BYTE, SHORT or LONG; otherwise meaningless
    at: int  # where the values are in the file


class Directory(NamedTuple):
    """A directory's entries, how many are stated, and where the next one is; 0 where there is none."""

    entries: list[Entry]
    stated: int
    next_at: int


def byte_order(data: bytes) -> Literal["little", "big"]:
    """Of a TIFF file."""
    return "little" if data.startswith(b"II") else "big"


def read_directory(data: bytes, at: int | None = None) -> Directory:
    """The directory at a place, by default the first; without entries where there is no directory."""
    order = byte_order(data)
    mark = "<" if order == "little" else ">"
    at = int.from_bytes(data[4:8], order) if at is None else at
    count = int.from_bytes(data[at : at + 2], order)
    fields = data[at + 2 : at + 2 + 12 * count]
    entries = []
    for index, (tag, kind, values, value) in enumerate(
        struct.iter_unpack(mark + "HHI4s", fields[: len(fields) // 12 * 12])
    ):
        size = TYPE_BYTES.get(kind, 4)
        inside = size * values <= 4
        place = at + 2 + 12 * index + 8 if inside else int.from_bytes(value, order)
        entries.append(Entry(tag, kind, values, int.from_bytes(value[:size], order), place))
    behind = at + 2 + 12 * count
    return Directory(entries, count, int.from_bytes(data[behind : behind + 4], order))


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that EXIF data states; 1 where it states none (tag 274)."""
    tiff = exif.removeprefix(b"Exif\0\0")
    if not tiff.startswith((b"II", b"MM")):
        return 1
    stated = (e.number for e in read_directory(tiff).entries if e.tag == ORIENTATION and e.values == 1)
    return next((number for number in stated if 1 <= number <= 8), 1)
