"""GIF: the first frame, on a white canvas."""

import re
import struct

import numpy as np
from PIL import Image

from kserve_transformers.arrays.images.encoded import RGB, Encoded, damaged, open_with_pillow, too_many
from kserve_transformers.arrays.images.render import render
from kserve_transformers.errors import TooLargeError

# Before the pixels: Pillow joins comments in quadratic time.
_MAX_BLOCKS = 2_000
# How blocks begin: an extension, the frame, the end. Some files have stray bytes between them.
_BLOCK, _MAX_STRAY = re.compile(rb"[!,;]"), 1_000


def open_gif(data: bytes, max_pixels: int) -> Encoded:
    """Read a GIF's header, up to its first frame.

    Raises:
        TooLargeError: more pixels than allowed, in the canvas or the frame.
        BadRequestError: damaged, or made of too many blocks.
    """
    frame = left, top, right, bottom = _first_frame(data)
    if right * bottom > max_pixels:  # it need not lie within the canvas
        raise TooLargeError(f"the GIF image's frame has more than {max_pixels} pixels: scale it down", right * bottom)
    image = open_with_pillow(data, "GIF", max_pixels)
    size_wh = image.size
    if right > image.width or bottom > image.height:
        raise damaged("GIF")

    def decode(reduction: int) -> RGB:
        image.load()
        hidden = image.info.get("transparency")

        def band(begin: int, end: int) -> Image.Image:
            part = image.crop((0, begin, image.width, end))
            rgb = np.array(part.convert("RGB"))
            if isinstance(hidden, int):
                rgb[np.asarray(part) == hidden] = 255
            if frame != (0, 0, *size_wh):
                inside = rgb[max(top - begin, 0) : max(bottom - begin, 0), left:right].copy()
                rgb[:] = 255
                rgb[max(top - begin, 0) : max(bottom - begin, 0), left:right] = inside
            return Image.fromarray(rgb)

        return render(size_wh, reduction, band)

    return Encoded(size_wh, 1, 5 * size_wh[0] * size_wh[1], decode)


def _first_frame(data: bytes) -> tuple[int, int, int, int]:
    """Its place on the canvas: left, top, right, bottom."""
    if len(data) < 13:
        raise damaged("GIF")
    at = 13 + (6 << (data[10] & 7) if data[10] & 0x80 else 0)
    blocks = 0
    while block := _BLOCK.search(data, at, at + _MAX_STRAY):
        at = block.start()
        if data[at : at + 1] != b"!":
            break
        at, length = at + 2, 1  # an extension: its label, then blocks up to an empty one
        while length:
            blocks += 1
            if blocks > _MAX_BLOCKS:
                raise too_many("blocks")
            length = data[at] if at < len(data) else 0
            at += 1 + length
    if data[at : at + 1] != b"," or at + 9 > len(data):
        raise damaged("GIF")
    left, top, width, height = struct.unpack_from("<4H", data, at + 1)
    return left, top, left + width, top + height
