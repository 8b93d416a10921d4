"""Small files that cost much to read: memory, time, or lines in a log."""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import heif_files
from heif_files import Item, box, coded, grid, ispe
from image_files import chunk, encode, segment
from PIL import Image
from tiff_files import tiff

SHORT, LONG, BYTE = 3, 4, 1
_SMALL = Image.new("RGB", (8, 8), (200, 30, 40))


def _grey(side: int = 8, length: int = 64) -> list[tuple[int, int, int, int]]:
    sizes = [(256, LONG, 1, side), (257, LONG, 1, side), (258, SHORT, 1, 8), (259, SHORT, 1, 1), (262, SHORT, 1, 1)]
    return [*sizes, (273, LONG, 1, 8), (277, SHORT, 1, 1), (278, LONG, 1, side), (279, LONG, 1, length)]


def _tile(side: int, first: Sequence[tuple[int, int, int, int]] = ()) -> bytes:
    data = zlib.compress(bytes(side * side))
    sizes = [(256, LONG, 1, 16), (257, LONG, 1, 16), (258, SHORT, 1, 8), (259, SHORT, 1, 8), (262, SHORT, 1, 1)]
    tiles = [(277, SHORT, 1, 1), *first, (322, LONG, 1, side), (323, LONG, 1, side)]
    return tiff([*sizes, *tiles, (324, LONG, 1, 8), (325, LONG, 1, len(data))], data)


def _scans(count: int, width: int, height: int) -> bytes:
    """A progressive JPEG whose every scan goes over all blocks, in a few bytes."""
    blocks = -(-width // 8) * -(-height // 8)
    bits = "011111111111111" * -(-blocks // 32767)  # EOB14: 32767 blocks are empty in this scan
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"".join(
        [
            b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64),
            segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"),
            segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0"),
            segment(0xDA, b"\1\1\0\0\0\0") + bytes(-(-blocks // 8)),
            (segment(0xDA, b"\1\1\0\1\x3f\0") + scan) * count,
            b"\xff\xd9",
        ]
    )


def _webp(canvas_wh: tuple[int, int], animated: bool) -> bytes:
    still = encode(_SMALL.convert("RGBA"), "WEBP", lossless=True)
    frame = still[still.index(b"VP8L") :]
    sides = b"".join((side - 1).to_bytes(3, "little") for side in canvas_wh)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([0x12 if animated else 0x10, 0, 0, 0]) + sides
    if animated:
        part = bytes(6) + (7).to_bytes(3, "little") * 2 + bytes(4) + frame
        frame = b"ANIM" + struct.pack("<I", 6) + bytes(6) + (b"ANMF" + struct.pack("<I", len(part)) + part) * 2
    return b"RIFF" + struct.pack("<I", len(body + frame)) + body + frame


def _rle_bmp(width: int, height: int) -> bytes:
    runs = (b"\1\7" * width + b"\0\0") * height + b"\0\1"
    at = 14 + 40 + 1024
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", at + len(runs), 0, 0, at) + info + bytes(1024) + runs


def _in_png(*chunks: bytes) -> bytes:
    png = encode(_SMALL, "PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def _in_jpeg(parts: bytes) -> bytes:
    jpeg = encode(_SMALL, "JPEG")
    return jpeg[:2] + parts + jpeg[2:]


def _in_gif(parts: bytes) -> bytes:
    gif = encode(_SMALL.convert("P"), "GIF")
    at = gif.index(b",\0\0\0\0")
    return gif[:at] + parts + gif[at:]


def _gif_frame(side: int) -> bytes:
    """A GIF whose frame is larger than its screen."""
    gif = bytearray(encode(_SMALL.convert("P"), "GIF"))
    at = gif.index(b",\0\0\0\0") + 5
    gif[at : at + 4] = struct.pack("<HH", side, side)
    return bytes(gif)


def _header(fmt: str, side: int) -> bytes:
    """An image whose header says that it is huge; the rest is of a small one."""
    data = bytearray(encode(_SMALL.convert("P") if fmt == "GIF" else _SMALL, fmt))
    if fmt == "PNG":
        return bytes(data[:8]) + chunk(b"IHDR", struct.pack(">II", side, side) + bytes(data[24:29])) + bytes(data[33:])
    if fmt == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    elif fmt == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data)


def _exif(tags: int) -> bytes:
    blob = bytes(60_000)
    return tiff([(1000 + index, BYTE, len(blob), 8) for index in range(tags)], blob)


def _loop() -> bytes:
    """Directories that lead to each other, and sub-directories (EXIF, GPS) that lead to themselves."""
    data = bytearray(tiff([*_grey(), (0x8769, LONG, 1, 72), (0x8825, LONG, 1, 72)], bytes(64)))
    data[-4:] = struct.pack("<I", 72)
    return bytes(data)


def _heif(fmt: str, **changes: object) -> bytes:
    """An AVIF or HEIC of one small image, with another size, other bytes, or more properties and items."""
    item = coded(_SMALL.resize((64, 64)), fmt)
    if "size" in changes:
        item.properties = [one for one in item.properties if one[0] != b"ispe"] + [ispe(*changes["size"])]  # type: ignore[misc]
    item.data = item.data * int(changes.get("times", 1))  # type: ignore[call-overload]
    item.properties += changes.get("properties", [])  # type: ignore[operator]
    items = {1: item, **changes.get("items", {})}  # type: ignore[dict-item]
    return heif_files.write(items, 1, heif_files.BRANDS[fmt])


def _tiled(fmt: str, side: int) -> bytes:
    """An image of one tile, many times."""
    tile = coded(_SMALL.resize((64, 64)), fmt)
    whole = grid(side, side, 64 * side, 64 * side, [2] * side**2)
    return heif_files.write({1: whole, 2: tile}, 1, heif_files.BRANDS[fmt])


def _overlapping_extents(fmt: str) -> bytes:
    """An item whose places in the file are the same twenty megabytes, again and again."""
    data = bytearray(_heif(fmt))
    at = data.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2
    data[at : at + 2] = struct.pack(">H", 60_000)
    return bytes(data) + bytes(19_000_000)


ZEROS = zlib.compress(bytes(50_000_000))

BOMBS: Mapping[str, Callable[[], bytes]] = {
    "PNG/huge header": lambda: _header("PNG", 2**31 - 1),
    "PNG/header over the limit": lambda: _header("PNG", 40_000),
    "GIF/huge header": lambda: _header("GIF", 65_535),
    "GIF/huge frame": lambda: _gif_frame(65_535),
    "GIF/frame over the limit": lambda: _gif_frame(10_000),
    "BMP/huge header": lambda: _header("BMP", 2**31 - 1),
    "BMP/negative height": lambda: _header("BMP", -(2**31)),
    "JPEG/huge header": lambda: _header("JPEG", 65_535),
    "TIFF/huge header": lambda: tiff(_grey(2**31 - 1), bytes(64)),
    "TIFF/huge header and length": lambda: tiff(_grey(2**16 - 1, 2**32 - 1), bytes(64)),
    "WEBP/huge canvas": lambda: _webp((16_384, 16_384), animated=False),
    "WEBP/huge animated canvas": lambda: _webp((16_384, 16_384), animated=True),
    "WEBP/canvas of a terabyte": lambda: _webp((2**24, 2**24), animated=True),
    "PNG/a million and a half chunks": lambda: _in_png(chunk(b"abCd", b"") * 1_500_000),
    "JPEG/five million segments": lambda: _in_jpeg(b"\xff\xe5\0\2" * 4_900_000),
    "JPEG/junk between segments": lambda: _in_jpeg(bytes(19_000_000)),
    "JPEG/fill bytes": lambda: _in_jpeg(b"\xff" * 19_000_000),
    "JPEG/segments hidden in one without a length": lambda: _in_jpeg((b"\xff\xc8\xff\xff" + bytes(65_533)) * 250),
    "JPEG/a thousand scans": lambda: _scans(1000, 8000, 5000),
    "GIF/four million comments": lambda: _in_gif(b"!\xfe\1a\0" * 3_900_000),
    "GIF/one comment of a million parts": lambda: _in_gif(b"!\xfe" + b"\1a" * 5_000_000 + b"\0"),
    "TIFF/tags that share their data": lambda: tiff(
        [*_grey(), *[(1000 + index, BYTE, 1_000_000, 8) for index in range(400)]], bytes(1_000_000)
    ),
    "TIFF/sixty thousand tags": lambda: tiff([*_grey(), *[(1000 + n, BYTE, 1, 0) for n in range(60_000)]], bytes(64)),
    "TIFF/strips without end": lambda: tiff([*_grey()[:5], (273, LONG, 4_000_000, 8), *_grey()[6:]], bytes(16_000_000)),
    "TIFF/loop of directories": _loop,
    "TIFF/a tile of 225 megapixels": lambda: _tile(15_000),
    "TIFF/a tile behind a tag of another type": lambda: _tile(15_000, [(322, 2, 4, 8), (323, 2, 4, 8)]),
    "BMP/ten million runs": lambda: _rle_bmp(2000, 4900),
    "PNG/zTXt": lambda: _in_png(*[chunk(b"zTXt", b"a\0\0" + ZEROS)] * 20),
    "PNG/iTXt": lambda: _in_png(*[chunk(b"iTXt", b"a\0\1\0\0\0" + ZEROS)] * 20),
    "PNG/iCCP": lambda: _in_png(chunk(b"iCCP", b"a\0\0" + ZEROS)),
    "PNG/eXIf": lambda: _in_png(chunk(b"eXIf", _exif(5000))),
    "JPEG/EXIF tags": lambda: _in_jpeg(segment(0xE1, b"Exif\0\0" + _exif(400)[-5000:] + bytes(60_000))),
    "JPEG/EXIF of 18 megabytes": lambda: _in_jpeg(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 280),
    "JPEG/ICC of 18 megabytes": lambda: _in_jpeg(segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000)) * 280),
    **{
        f"{fmt}/{name}": (lambda make=make, fmt=fmt: make(fmt))  # type: ignore[misc]
        for fmt in ("AVIF", "HEIC")
        for name, make in {
            "huge header": lambda fmt: _heif(fmt, size=(2**31 - 1, 2**31 - 1)),
            "header over the limit": lambda fmt: _heif(fmt, size=(40_000, 40_000)),
            "header of a smaller image": lambda fmt: _heif(fmt, size=(1, 1)),
            "header of a larger image": lambda fmt: _heif(fmt, size=(6000, 6000)),
            "a hundred thousand images in one": lambda fmt: _heif(fmt, times=100_000),
            "one tile sixty thousand times": lambda fmt: _tiled(fmt, 250),
            "extents that share their data": _overlapping_extents,
            "sixty thousand properties": lambda fmt: (
                _heif(fmt, properties=[(b"free", b"")] * 120) + box(b"free") * 2_000_000
            ),
            "items without end": lambda fmt: _heif(
                fmt, items={n: Item(b"mime", b"x", [], {b"cdsc": [1]}) for n in range(2, 20_000)}
            ),
            "an overlay of overlays": lambda fmt: heif_files.write(
                {1: Item(b"iovl", bytes(40), [ispe(64, 64)], {b"dimg": [1] * 1000})}, 1, heif_files.BRANDS[fmt]
            ),
        }.items()
    },
    "TIFF/strips that share their data": lambda: tiff(
        [*_grey(8000)[:5], (273, LONG, 8000, 8), (277, SHORT, 1, 1), (278, LONG, 1, 1), (279, LONG, 8000, 8)],
        struct.pack("<I", 2_000_000) * 2_000_000,
    ),
    "TIFF/pages that lead in circles": lambda: (
        tiff([*_grey(), (254, LONG, 1, 1)], bytes(64))[:-4] + struct.pack("<I", 72)
    ),
    "JPEG/a profile of 18 megabytes": lambda: _in_jpeg(
        b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_000)) for n in range(1, 256))
    ),
}
