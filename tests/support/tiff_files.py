"""Writes TIFF files of every layout, from samples: byte order, depth, planes, strips, tiles, predictor, compression."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 8, 32946, 32773
SHORT, LONG = 3, 4


def tiff(entries: list[tuple[int, int, int, int]], blob: bytes = b"", mark: str = "<") -> bytes:
    """A TIFF file of one directory: entries are tag, type, count and value or offset; the blob stands at 8."""
    head = (b"II*\0" if mark == "<" else b"MM\0*") + struct.pack(mark + "I", 8 + len(blob))
    return head + blob + directory(entries, mark)


def directory(entries: list[tuple[int, int, int, int]], mark: str, next_at: int = 0) -> bytes:
    """One directory's bytes."""
    body = b"".join(
        struct.pack(mark + ("HHIHH" if kind == SHORT and count == 1 else "HHII"), tag, kind, count, *rest)
        for tag, kind, count, value in sorted(entries)
        for rest in [(value, 0) if kind == SHORT and count == 1 else (value,)]
    )
    return struct.pack(mark + "H", len(entries)) + body + struct.pack(mark + "I", next_at)


def write(
    samples: npt.NDArray[np.unsignedinteger],
    bits: int,
    photometric: int,
    *,
    mark: str = "<",
    planar: bool = False,
    compression: int = NONE,
    predictor: int = 1,
    tile_wh: tuple[int, int] | None = None,
    rows: int = 5,
    fill_order: int = 1,
    tags: Mapping[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A TIFF file.

    Args:
        samples: [height, width, samples of a pixel], of values below 2**bits.
        bits: of a sample.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK.
        mark: < for little-endian, > for big-endian.
        planar: whether each sample has strips or tiles of its own.
        compression: one of those above.
        predictor: 2 for differences.
        tile_wh: of tiles; strips of some rows without.
        rows: of a strip.
        fill_order: 2 for bytes with their bits in reverse.
        tags: more of them, as SHORT.
    """
    height, width, count = samples.shape
    tile_w, tile_h = tile_wh or (width, rows)
    blobs = [
        _pack(
            _cut(plane, top, left, tile_w, tile_h, tile_wh is not None), bits, mark, compression, predictor, fill_order
        )
        for plane in ([samples[..., [one]] for one in range(count)] if planar else [samples])
        for top in range(0, height, tile_h)
        for left in range(0, width, tile_w)
    ]
    shorts: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (bits,) * count, 259: (compression,), 262: (photometric,),
        266: (fill_order,), 277: (count,), 284: (2 if planar else 1,), 317: (predictor,), **(tags or {}),
    }  # fmt: skip
    if predictor == 1:
        del shorts[317]
    blob, offsets = b"", []
    for one in blobs:
        offsets.append(8 + len(blob))
        blob += one + bytes(len(one) % 2)
    lengths = tuple(len(one) for one in blobs)
    longs = {273: tuple(offsets), 278: (tile_h,), 279: lengths}
    if tile_wh:
        longs = {322: (tile_w,), 323: (tile_h,), 324: tuple(offsets), 325: lengths}
    entries = []
    for kind, letter, group in ((SHORT, "H", shorts), (LONG, "I", longs)):
        for tag, values in group.items():
            if len(values) * (2 if kind == SHORT else 4) <= 4 and len(values) == 1:
                entries.append((tag, kind, 1, values[0]))
                continue
            packed = struct.pack(f"{mark}{len(values)}{letter}", *values)
            if len(packed) <= 4:
                entries.append((tag, kind, len(values), struct.unpack(mark + "I", packed.ljust(4, b"\0"))[0]))
                continue
            entries.append((tag, kind, len(values), 8 + len(blob)))
            blob += packed + bytes(len(packed) % 2)
    return tiff(entries, blob, mark)


def _cut(
    plane: npt.NDArray[np.unsignedinteger], top: int, left: int, tile_w: int, tile_h: int, padded: bool
) -> npt.NDArray[np.unsignedinteger]:
    part = plane[top : top + tile_h, left : left + tile_w]
    if padded:
        part = np.pad(part, ((0, tile_h - part.shape[0]), (0, tile_w - part.shape[1]), (0, 0)))
    return part


def _pack(
    part: npt.NDArray[np.unsignedinteger], bits: int, mark: str, compression: int, predictor: int, fill_order: int
) -> bytes:
    values = part.astype(np.uint64)
    if predictor == 2:
        values = np.diff(values, axis=1, prepend=np.uint64(0)) & np.uint64(2**bits - 1)
    if bits in (8, 16, 32):
        data = values.astype(f"{mark}u{bits // 8}").tobytes()
    else:
        shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
        each = (values[..., np.newaxis] >> shifts & np.uint64(1)).astype(np.uint8)
        data = np.packbits(each.reshape(len(part), -1), axis=1).tobytes()
    if compression in (DEFLATE, OLD_DEFLATE):
        data = zlib.compress(data)
    elif compression == LZW:
        data = _lzw(data)
    elif compression == PACKBITS:
        row = len(data) // len(part)
        rows = (data[at : at + row] for at in range(0, len(data), row))
        data = b"".join(
            bytes([len(run) - 1]) + run for one in rows for at in range(0, row, 128) for run in [one[at : at + 128]]
        )
    if fill_order == 2:
        data = np.packbits(
            np.unpackbits(np.frombuffer(data, np.uint8).reshape(-1, 1), axis=1)[:, ::-1], axis=1
        ).tobytes()
    return data


def _lzw(data: bytes) -> bytes:
    """Valid, though nothing is repeated: the table is cleared before its codes would need more than 9 bits."""
    codes: list[int] = []
    for at in range(0, len(data), 250):
        codes += [256, *data[at : at + 250]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
