"""Makes ICC profiles (ICC.1:2001-04): RGB by primaries and gamma, grey by gamma, CMYK by its sixteen corners."""

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

# Colourants relative to D50, [3 primaries, XYZ].
SRGB = np.array([[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7139]])
DISPLAY_P3 = np.array([[0.5151, 0.2412, -0.0011], [0.2920, 0.6922, 0.0419], [0.1571, 0.0666, 0.7841]])
ADOBE_RGB = np.array([[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])
D50 = np.array([0.9642, 1.0, 0.8249])


def rgb(primaries: npt.NDArray[np.float64], gamma: float) -> bytes:
    """A display's profile."""
    tags = {b"wtpt": _xyz(D50), **{name + b"TRC": _curve(gamma) for name in (b"r", b"g", b"b")}}
    tags |= {name + b"XYZ": _xyz(row) for name, row in zip((b"r", b"g", b"b"), primaries, strict=True)}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey(gamma: float) -> bytes:
    """A grey scale's profile."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


def cmyk(lab: npt.NDArray[np.uint8]) -> bytes:
    """A printer's profile.

    Args:
        lab: [2, 2, 2, 2, 3], Lab in 8 bits with no or all of C, M, Y and K.
    """
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * one for one in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + straight * 4 + lab.tobytes() + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table})


def _xyz(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * one) for one in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    name = b"a test's"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + bytes(1 + 78)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    at, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = struct.pack(">I", at + len(body))
    head = size + bytes(4) + b"\2\x40\0\0" + kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    return head + struct.pack(">3i", *(round(65536 * one) for one in D50)) + bytes(48) + table + body
