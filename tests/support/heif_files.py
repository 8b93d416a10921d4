"""Writes HEIF containers (ISO/IEC 23008-12) around images that an encoder coded: AVIF, HEIC, what imitates them."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import image_files
from PIL import Image

from kserve_transformers.arrays.images.boxes import read_container

CODECS = {"AVIF": b"av01", "HEIC": b"hvc1"}
_ESSENTIAL = (b"av1C", b"hvcC", b"irot", b"imir", b"clap")
BRANDS = {"AVIF": b"avif", "HEIC": b"heic"}


@dataclass
class Item:
    """An item: its type, bytes, properties in their order, and references to others."""

    kind: bytes
    data: bytes
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    references: Mapping[bytes, Sequence[int]] = field(default_factory=dict)


def box(kind: bytes, *contents: bytes) -> bytes:
    """A box's bytes."""
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def ispe(width: int, height: int) -> tuple[bytes, bytes]:
    """The property of an image's size."""
    return b"ispe", struct.pack(">III", 0, width, height)


def encode(image: Image.Image, fmt: str, **options: object) -> bytes:
    """A file of one image, as a library writes it, with all of its colours."""
    full = {"subsampling": "4:4:4", "speed": 10} if fmt == "AVIF" else {"chroma": 444}
    return image_files.encode(image, fmt, **{"quality": 95, **full, **options})


def coded(image: Image.Image, fmt: str) -> Item:
    """An image as an item, with the properties of its codec and its size."""
    container = read_container(encode(image, fmt))
    item = container.items[container.primary]
    return Item(item.kind, item.data, [one for one in item.properties if one[0] != b"colr"])


def write(items: Mapping[int, Item], primary: int, brand: bytes) -> bytes:
    """A file of these items."""
    properties: list[bytes] = []
    associations = b""
    for number, item in items.items():
        indices = bytes(
            len(properties) + 1 + index | (0x80 if kind in _ESSENTIAL else 0)
            for index, (kind, _) in enumerate(item.properties)
        )
        properties += [box(kind, content) for kind, content in item.properties]
        associations += struct.pack(">HB", number, len(indices)) + indices
    references = [
        box(kind, struct.pack(f">HH{len(targets)}H", number, len(targets), *targets))
        for number, item in items.items()
        for kind, targets in item.references.items()
    ]
    infos = [
        box(b"infe", struct.pack(">IHH", 2 << 24, number, 0) + item.kind + b"\0") for number, item in items.items()
    ]

    def meta(at: int) -> bytes:
        places = b""
        for number, item in items.items():
            places += struct.pack(">HHHII", number, 0, 1, at, len(item.data))
            at += len(item.data)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", primary)),
            box(b"iinf", bytes(4), struct.pack(">H", len(items)), *infos),
            *([box(b"iref", bytes(4), *references)] if references else []),
            box(
                b"iprp", box(b"ipco", *properties), box(b"ipma", bytes(4), struct.pack(">I", len(items)), associations)
            ),
            box(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", len(items)), places),
        )

    head = box(b"ftyp", brand, bytes(4), b"mif1miaf", brand)
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *(item.data for item in items.values()))


def grid(rows: int, columns: int, width: int, height: int, tiles: Sequence[int]) -> Item:
    """An image that is made of tiles."""
    return Item(
        b"grid",
        struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height),
        [ispe(width, height)],
        {b"dimg": tiles},
    )
