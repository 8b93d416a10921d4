"""Memory: the largest allowed image, in the costliest form of each format, stays within a bound per pixel."""

import json
import subprocess
import sys

import bombs
import numpy as np
import pytest
import tiff_files
from image_files import encode
from PIL import Image

pytestmark = pytest.mark.slow

PIXELS = 40_000_000
# WebP's decoder keeps two canvases, and Pillow copies twice, 4 bytes a pixel each; nothing needs more.
WORST_BYTES_PER_PIXEL = 16
SLACK_BYTES = 48 * 2**20  # bands, the file itself, the allocator

_MEASURE = r"""
import json, re, sys
from pathlib import Path
from kserve_transformers.arrays.decoding import decode_image
def peak():  # not getrusage: a process begins there with the memory of the one that started it
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
data, before = Path(sys.argv[1]).read_bytes(), peak()
try:
    said = decode_image(data, int(sys.argv[2]), lambda size: float(sys.argv[3])).size_wh
except Exception as exc:
    said = type(exc).__name__
print(json.dumps({"said": said, "bytes": peak() - before}))
"""


def rgb():
    return Image.new("RGB", (8000, 5000), (200, 30, 40))


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


def measured(tmp_path, data, scale):
    path = tmp_path / "image"
    path.write_bytes(data)
    output = subprocess.check_output(
        [sys.executable, "-c", _MEASURE, str(path), str(PIXELS), str(scale)], text=True, stderr=subprocess.STDOUT
    )
    return json.loads(output)


@pytest.mark.parametrize(
    ("make", "scale", "bytes_per_pixel"),
    [
        pytest.param(lambda: encode(rgb(), "JPEG", **turned()), 1.0, 6, id="JPEG"),
        pytest.param(lambda: encode(rgb(), "JPEG"), 0.1, 0.5, id="JPEG reduced"),
        pytest.param(lambda: encode(rgb(), "JPEG", progressive=True, subsampling=0), 1.0, 9, id="JPEG progressive"),
        pytest.param(lambda: encode(rgb().convert("CMYK"), "JPEG", progressive=True), 0.1, 12, id="JPEG CMYK"),
        pytest.param(lambda: encode(rgb().convert("RGBA"), "PNG", compress_level=1, **turned()), 1.0, 10, id="PNG"),
        pytest.param(lambda: encode(rgb().convert("RGBA"), "PNG", compress_level=1), 0.1, 5, id="PNG reduced"),
        pytest.param(
            lambda: encode(Image.fromarray(np.full((5000, 8000), 9, np.uint16)), "PNG"), 1.0, 6, id="PNG 16 bits"
        ),
        pytest.param(lambda: encode(rgb().convert("P"), "GIF"), 1.0, 5, id="GIF"),
        pytest.param(
            lambda: encode(rgb().convert("RGBA"), "TIFF", compression="tiff_adobe_deflate", **turned()),
            1.0,
            10,
            id="TIFF",
        ),
        pytest.param(
            lambda: tiff_files.write(np.full((5000, 8000, 4), 9, np.uint16), 16, 2, compression=8, rows=5000),
            1.0,
            16,
            id="TIFF 16 bits in one strip",
        ),
        pytest.param(lambda: encode(rgb().convert("RGBA"), "WEBP", lossless=True, method=0), 1.0, 16, id="WEBP"),
        pytest.param(
            lambda: encode(rgb().convert("RGBA"), "AVIF", speed=10, subsampling="4:4:4", **turned()), 1.0, 16, id="AVIF"
        ),
        pytest.param(lambda: encode(rgb(), "AVIF", speed=10), 0.1, 16, id="AVIF reduced"),
        pytest.param(
            lambda: encode(rgb().convert("RGBA"), "HEIC", quality=50, chroma=444, enc_params={"preset": "ultrafast"}),
            1.0,
            16,
            id="HEIC",
        ),
        pytest.param(
            lambda: encode(rgb(), "HEIC", quality=50, enc_params={"preset": "ultrafast"}), 0.1, 16, id="HEIC reduced"
        ),
    ],
)
def test_the_largest_allowed_image(tmp_path, make, scale, bytes_per_pixel):
    assert bytes_per_pixel <= WORST_BYTES_PER_PIXEL
    found = measured(tmp_path, make(), scale)
    assert found["said"] in ([8000, 5000], [5000, 8000])
    assert found["bytes"] <= bytes_per_pixel * PIXELS + SLACK_BYTES


@pytest.mark.parametrize(
    "name",
    [
        "GIF/four million comments",
        "GIF/frame over the limit",
        "JPEG/five million segments",
        "PNG/a million and a half chunks",
        "PNG/zTXt",
        "TIFF/strips without end",
        "TIFF/a tile of 225 megapixels",
    ],
)
def test_a_bomb_costs_less_than_twice_its_file(tmp_path, name):
    data = bombs.BOMBS[name]()
    found = measured(tmp_path, data, 1.0)
    assert found["said"] in ("BadRequestError", "TooLargeError", [8, 8])  # the image, whose texts are skipped
    assert found["bytes"] <= len(data) + 8 * 2**20
