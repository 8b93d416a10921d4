"""ISO base media files with still images (HEIF, ISO/IEC 23008-12): what makes the image, and what it declares."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from kserve_transformers.arrays.images.encoded import too_many
from kserve_transformers.errors import BadRequestError, UnsupportedMediaError

# Photos of telephones have 50 to 250 items, most of them tiles.
_MAX_ITEMS, _MAX_PROPERTIES, _MAX_BOXES = 2_000, 2_000, 10_000
_HIDDEN = b"skip"


@dataclass
class Item:
    """An item: a coded image, a derived one, or something else."""

    kind: bytes = b""  # its type, such as hvc1, av01 or grid
    data: bytes = b""  # its bytes
    # kind and content, in the order in which they apply
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)  # items that it is made of
    alpha: int | None = None  # the item that holds its alpha channel

    def stated(self, kind: bytes) -> bytes | None:
        """The content of the first property of a kind."""
        return next((content for one, content in self.properties if one == kind), None)

    @property
    def size_wh(self) -> tuple[int, int]:
        """As declared, before cropping and turning; (0, 0) where it is not."""
        extents = self.stated(b"ispe") or bytes(12)
        return (int.from_bytes(extents[4:8]), int.from_bytes(extents[8:12])) if len(extents) >= 12 else (0, 0)

    @property
    def pixels(self) -> int:
        """Width times height, as declared."""
        return self.size_wh[0] * self.size_wh[1]


@dataclass
class Container:
    """A file's items."""

    items: dict[int, Item]  # by their numbers
    primary: int  # the number of the image that the file shows
    readable: bytes  # the file without its references to metadata and thumbnails, and as a still image of its codec

    def codec(self, item: Item) -> bytes:
        """The type of an image's coded items: its own, or that of its tiles."""
        first = self.items.get(item.tiles[0]) if item.kind == b"grid" and item.tiles else item
        return first.kind if first else b""


def _damaged() -> BadRequestError:
    return BadRequestError("the HEIC or AVIF image is truncated or damaged: its header cannot be read")


def read_container(data: bytes) -> Container:
    """Read the items of a file.

    Raises:
        BadRequestError: damaged, or of too many boxes.
        UnsupportedMediaError: without a still image.
    """
    try:
        return _read_container(data)
    except (struct.error, IndexError, KeyError):
        raise _damaged() from None


def _read_container(data: bytes) -> Container:
    meta = next((at for kind, *at in _boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        if any(kind == b"moov" for kind, *_ in _boxes(data, 0, len(data))):
            raise UnsupportedMediaError("the file is a video or an image sequence without a still image: send an image")
        raise _damaged()
    parts = {kind: (begin, end) for kind, begin, end in _boxes(data, meta[0] + 4, meta[1])}
    items = {number: Item(kind) for number, kind in _item_kinds(data, *parts[b"iinf"])}
    _read_properties(data, items, *parts[b"iprp"])
    _read_places(data, items, parts)
    readable = bytearray(data)
    if b"iref" in parts:
        _read_references(data, items, readable, *parts[b"iref"])
    begin, end = parts[b"pitm"]
    primary = int.from_bytes(data[begin + 4 : min(begin + (6 if data[begin] == 0 else 8), end)])
    if primary not in items:
        raise _damaged()
    container = Container(items, primary, b"")
    readable[8:12] = b"avif" if container.codec(items[primary]) == b"av01" else b"heic"
    container.readable = bytes(readable)
    return container


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of a range: their kinds, and where their contents begin and end."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            size, begin = int.from_bytes(data[begin : begin + 8]), begin + 8
        elif size == 0:
            size = end - at
        if size < begin - at or at + size > end:
            if kind == b"mdat":  # cut off: what lacks is seen where it is looked for
                return
            raise _damaged()
        yield kind, begin, at + size
        at += size
    raise too_many("boxes")


def _item_kinds(data: bytes, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    at = begin + (6 if data[begin] == 0 else 8)
    for count, (kind, entry, _) in enumerate(_boxes(data, at, end)):
        if count >= _MAX_ITEMS:
            raise too_many("items")
        version = data[entry]
        if kind != b"infe" or version < 2:
            raise _damaged()
        width = 2 if version == 2 else 4
        yield int.from_bytes(data[entry + 4 : entry + 4 + width]), data[entry + 6 + width : entry + 10 + width]


def _read_properties(data: bytes, items: dict[int, Item], begin: int, end: int) -> None:
    parts = list(_boxes(data, begin, end))
    properties: list[tuple[bytes, bytes]] = []
    for kind, first, last in parts:
        if kind == b"ipco":
            properties += [(one, data[at:behind]) for one, at, behind in _boxes(data, first, last)]
    if len(properties) > _MAX_PROPERTIES:
        raise too_many("properties")
    for kind, first, _ in parts:
        if kind != b"ipma":
            continue
        wide_items, wide_indices = data[first] >= 1, data[first + 3] & 1
        (entries,) = struct.unpack_from(">I", data, first + 4)
        if entries > _MAX_ITEMS:
            raise too_many("items")
        at = first + 8
        for _ in range(entries):
            (number,) = struct.unpack_from(">I" if wide_items else ">H", data, at)
            at += 4 if wide_items else 2
            count, at = data[at], at + 1
            for _ in range(count):
                index = struct.unpack_from(">H", data, at)[0] & 0x7FFF if wide_indices else data[at] & 0x7F
                at += 2 if wide_indices else 1
                if index and number in items:
                    items[number].properties.append(properties[index - 1])


def _read_places(data: bytes, items: dict[int, Item], parts: dict[bytes, tuple[int, int]]) -> None:
    """Each item's bytes, from the table of their places (iloc)."""
    begin, _ = parts[b"iloc"]
    version = data[begin]
    offset_size, length_size = data[begin + 4] >> 4, data[begin + 4] & 15
    base_size, index_size = data[begin + 5] >> 4, data[begin + 5] & 15 if version else 0
    at = begin + 6

    def number(size: int) -> int:
        nonlocal at
        if at + size > len(data):
            raise _damaged()
        at += size
        return int.from_bytes(data[at - size : at])

    wide = 4 if version == 2 else 2
    count, taken = number(wide), 0
    if count > _MAX_ITEMS:
        raise too_many("items")
    for _ in range(count):
        item, method = number(wide), number(2) & 15 if version else 0
        number(2)  # the file, which must be this one
        base, extents = number(base_size), []
        for _ in range(number(2)):
            number(index_size)
            extents.append((base + number(offset_size), number(length_size)))
        if item not in items or items[item].kind in (b"Exif", b"mime", b"uri "):
            continue
        source = data[slice(*parts[b"idat"])] if method == 1 else data
        if method > 1:
            raise UnsupportedMediaError("HEIC and AVIF images whose items are parts of others are not read: save anew")
        for offset, length in extents:
            length = length or len(source) - offset
            taken += length
            if offset + length > len(source) or taken > len(data) or len(extents) > _MAX_ITEMS:
                raise _damaged()
        items[item].data = b"".join(source[offset : offset + (length or len(source))] for offset, length in extents)


def _read_references(data: bytes, items: dict[int, Item], readable: bytearray, begin: int, end: int) -> None:
    """What items are made of; references of metadata and thumbnails are hidden from the codecs."""
    wide = 4 if data[begin] else 2
    for kind, first, last in _boxes(data, begin + 4, end):
        source, count = (
            int.from_bytes(data[first : first + wide]),
            int.from_bytes(data[first + wide : first + wide + 2]),
        )
        at = first + wide + 2
        if at + count * wide > last:
            raise _damaged()
        targets = [int.from_bytes(data[at + wide * index : at + wide * (index + 1)]) for index in range(count)]
        if kind == b"dimg" and source in items:
            items[source].tiles += targets
        elif kind == b"auxl" and source in items:
            meaning = (items[source].stated(b"auxC") or b"")[4:]
            for target in targets:
                if target in items and (b"alpha" in meaning or b"hevc:2015:auxid:1" in meaning):
                    items[target].alpha = source
        if kind in (b"cdsc", b"thmb"):
            readable[first - 4 : first] = _HIDDEN
