"""Images with which the decoder is tested: each format and mode, damaged, rotated, and valid in two formats at once.

Everything is made here, from fixed seeds; nothing is kept in files.
"""

import io
import random
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from image_files import chunk, encode
from PIL import Image

SIZE_WH = (60, 44)
MAGENTA = (255, 0, 255)


@dataclass(frozen=True)
class Sample:
    """An encoded image.

    Attributes:
        name: FORMAT/what is special.
        data: the file.
        size_wh: as a person sees it.
    """

    name: str
    data: bytes
    size_wh: tuple[int, int] = SIZE_WH


def scene(size_wh: tuple[int, int] = SIZE_WH) -> Image.Image:
    """Noise from 64 to 191 a channel: no pixel is near magenta, and no single bit makes one so."""
    width, height = size_wh
    return Image.fromarray(np.random.default_rng(7).integers(64, 192, (height, width, 3), np.uint8))


def modes(rgb: Image.Image) -> dict[str, Image.Image]:
    """The same image in every colour mode that one of the formats can hold."""
    grey = np.asarray(rgb.convert("L"))
    alpha = Image.fromarray(np.full(grey.shape, 200, np.uint8))
    rgba, palette_alpha = rgb.convert("RGBA"), rgb.quantize(16)
    rgba.putalpha(alpha)
    palette_alpha.info["transparency"] = 0
    return {
        "1": rgb.convert("1"),
        "L": rgb.convert("L"),
        "LA": Image.merge("LA", (rgb.convert("L"), alpha)),
        "P": rgb.quantize(16),
        "P transparent": palette_alpha,
        "RGB": rgb,
        "RGBA": rgba,
        "I;16": Image.fromarray(grey.astype(np.uint16) << 8),
        "CMYK": rgb.convert("CMYK"),
    }


FORMS: tuple[tuple[str, str, tuple[str, ...], dict[str, object]], ...] = (
    ("JPEG", "baseline", ("L", "RGB", "CMYK"), {}),
    ("JPEG", "progressive", ("L", "RGB", "CMYK"), {"progressive": True}),
    ("PNG", "", ("1", "L", "LA", "P", "P transparent", "RGB", "RGBA", "I;16"), {}),
    ("WEBP", "lossy", ("RGB", "RGBA"), {}),
    ("WEBP", "lossless", ("L", "RGB", "RGBA"), {"lossless": True}),
    ("BMP", "", ("1", "L", "P", "RGB", "RGBA"), {}),
    ("GIF", "", ("1", "L", "P", "P transparent", "RGB"), {}),
    ("TIFF", "raw", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"), {}),
    ("TIFF", "lzw", ("L", "RGB", "I;16"), {"compression": "tiff_lzw"}),
    ("TIFF", "deflate", ("RGB", "RGBA", "CMYK"), {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "packbits", ("RGB",), {"compression": "packbits"}),
    ("TIFF", "jpeg", ("L", "RGB"), {"compression": "jpeg", "quality": 95}),
    ("AVIF", "", ("L", "RGB", "RGBA"), {"quality": 90}),
    ("HEIC", "", ("L", "RGB", "RGBA"), {"quality": 90}),
)


def whole(rgb: Image.Image | None = None) -> list[Sample]:
    """Each format in each form and mode, undamaged."""
    in_mode = modes(rgb or scene())
    return [
        Sample("/".join(filter(None, (fmt, form, mode))), encode(in_mode[mode], fmt, **options))
        for fmt, form, mode_names, options in FORMS
        for mode in mode_names
    ]


def turned() -> Iterator[Sample]:
    """EXIF 1 to 8 in each format that has EXIF; 5 to 8 change the sides; and values that mean nothing."""
    for fmt in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"):  # the last two say it in their container
        for orientation in range(10):
            exif = Image.Exif()
            exif[0x0112] = orientation
            size = SIZE_WH[::-1] if orientation in (5, 6, 7, 8) else SIZE_WH
            yield Sample(f"{fmt}/exif {orientation}", encode(scene(), fmt, exif=exif), size)


def animated() -> list[Sample]:
    """Several frames, of which the first counts."""
    frames = [scene(), *[Image.new("RGB", SIZE_WH, MAGENTA)] * 3]
    return [
        Sample(f"{fmt}/frames", encode(frames[0], fmt, save_all=True, append_images=frames[1:]))
        for fmt in ("GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF", "HEIC")
    ]


def truncated(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The file cut off at every 5 per cent."""
    for per_cent in range(0, 100, 5):
        yield f"cut at {per_cent}%", data[: len(data) * per_cent // 100]


def flipped(data: bytes, count: int = 12) -> Iterator[tuple[str, bytes]]:
    """The file with bits flipped: one, several in its first 64 bytes, or several anywhere."""
    dice = random.Random(len(data))
    for index in range(count):
        damaged = bytearray(data)
        within = len(data) if index % 3 else min(64, len(data))
        for _ in range(1 if index % 2 else 8):
            damaged[dice.randrange(within)] ^= 1 << dice.randrange(8)
        yield f"flips {index}", bytes(damaged)


def polyglots() -> list[Sample]:
    """Files that are an image to one reader and something else to another: here only the image is seen."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("run.sh", "echo hello")
    html = b"<html><script>alert(1)</script></html>"
    jpeg, png, gif, tiff = (encode(scene(), fmt) for fmt in ("JPEG", "PNG", "GIF", "TIFF"))
    pdf = b"%PDF-1.7\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
    text = chunk(b"tEXt", b"Comment\0" + pdf)
    comment = b"!\xfe" + bytes([len(html)]) + html + b"\0"
    at = gif.index(b",\0\0\0\0")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    return [
        Sample("JPEG/and zip", jpeg + archive.getvalue()),
        Sample("GIF/and html", gif[:at] + comment + gif[at:]),
        Sample("GIF/and html behind", gif + html),
        Sample("PNG/and pdf", png[:33] + text + png[33:]),
        Sample("PNG/and pdf behind", png + pdf),
        Sample("TIFF/and eps", tiff + eps),
    ]


def foreign() -> list[tuple[str, bytes]]:
    """What is no image of the allowed formats, though it may look like one."""
    png = encode(scene(), "PNG")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    images = {
        fmt.lower(): encode(scene(), fmt) for fmt in ("PPM", "ICO", "TGA", "PCX", "DDS", "JPEG2000", "PDF", "EPS")
    }
    tiffs = {f"tiff {name}": encode(scene(), "TIFF", compression=name) for name in ("zstd", "lzma")}
    return [
        *images.items(),
        *tiffs.items(),
        ("tiff fax", encode(scene().convert("1"), "TIFF", compression="group4")),
        ("dos eps", struct.pack("<4sIIIIII", b"\xc5\xd0\xd3\xc6", 32, len(eps), 0, 0, 0, 0) + b"\xff\xff" + eps),
        ("png in eps", eps + png),
        (
            "svg",
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        ),
        ("mvg", b"push graphic-context\nfill 'url(https://example.invalid/|ls)'\npop graphic-context"),
        ("png behind a text", b"GET / HTTP/1.1\r\n" + png),
        ("avif", b"\0\0\0 ftypavif" + bytes(40)),
        ("bigtiff", b"II+\0\x08\0\0\0" + bytes(40)),
        ("zeros", bytes(4096)),
        ("ones", b"\xff" * 4096),
    ]
