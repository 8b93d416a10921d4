"""Image files as libraries write them, and the parts of which files that no library writes are made."""

import io
import struct
import zlib
from typing import Any

import pillow_heif
from PIL import Image


def encode(image: Image.Image, fmt: str, **options: Any) -> bytes:
    """An image file; its container states the orientation of EXIF as cameras write it."""
    buffer = io.BytesIO()
    if fmt == "HEIC":  # Pillow does not write it
        image = image.copy()
        if exif := options.get("exif"):  # is in both places
            image.info["exif"] = exif.tobytes()
        if profile := options.pop("icc_profile", None):
            image.info["icc_profile"] = profile
        file = pillow_heif.from_pillow(image)
        for more in options.pop("append_images", ()):
            file.add_from_pillow(more)
        file.save(buffer, **options)
    else:
        image.save(buffer, fmt, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
