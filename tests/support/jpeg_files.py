"""Writes baseline JPEG files with any sampling factors: blocks of one colour each, so that there is little to code."""

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from image_files import segment


def write(
    planes: Sequence[npt.NDArray[np.int64]], factors: Sequence[tuple[int, int]], size_wh: tuple[int, int]
) -> bytes:
    """A JPEG file.

    Args:
        planes: of each component [rows, columns], the value of each block of 8x8 samples.
        factors: of each component, across and down.
        size_wh: in pixels.
    """
    width, height = size_wh
    across, down = (max(sides) for sides in zip(*factors, strict=True))
    bits, last = [], [0] * len(planes)
    for mcu_y in range(-(-height // (8 * down))):
        for mcu_x in range(-(-width // (8 * across))):
            for index, (plane, (h, v)) in enumerate(zip(planes, factors, strict=True)):
                for y in range(mcu_y * v, mcu_y * v + v):
                    for x in range(mcu_x * h, mcu_x * h + h):
                        value = 8 * (int(plane[y % plane.shape[0], x % plane.shape[1]]) - 128)
                        bits.append(_difference(value - last[index]) + "0")  # and no more coefficients
                        last[index] = value
    scan = "".join(bits)
    scan += "1" * (-len(scan) % 8)
    coded = int(scan, 2).to_bytes(len(scan) // 8).replace(b"\xff", b"\xff\0")
    components = b"".join(bytes([n, h << 4 | v, 0]) for n, (h, v) in enumerate(factors, 1))
    count = bytes([len(planes)])
    return b"".join(
        [
            b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64),
            segment(0xC0, struct.pack(">BHH", 8, height, width) + count + components),
            segment(0xC4, b"\0" + bytes([0, 0, 0, 12]) + bytes(12) + bytes(range(12))),
            segment(0xC4, b"\x10" + bytes([1]) + bytes(15) + b"\0"),
            segment(0xDA, count + b"".join(bytes([n, 0]) for n in range(1, len(planes) + 1)) + b"\0\x3f\0") + coded,
            b"\xff\xd9",
        ]
    )


def _difference(value: int) -> str:
    """A DC coefficient's difference: its category in four bits, and the bits that tell which one it is."""
    size = abs(value).bit_length()
    rest = value if value >= 0 else value + (1 << size) - 1
    return f"{size:04b}" + (f"{rest:0{size}b}" if size else "")
