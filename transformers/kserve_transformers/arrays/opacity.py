"""How opaque an image's pixels are, for readers of strokes on a transparent canvas.

The alpha channel is decoded here, beside the image itself: few images have one, only digits need it, and each decoder
of arrays/images/ lays its own kind of transparency on white, row by row, so that no whole channel is ever kept.
"""

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from kserve_transformers.arrays.budget import Budget

_FORMATS = ("PNG", "WEBP", "GIF", "TIFF")
_MODES = ("RGBA", "LA", "PA")
# Bytes that PNG files without transparency have at the place of their colour type: grey, RGB and palette.
_OPAQUE_PNG = (0, 2, 3)
_BYTES_PER_PIXEL = 16


def lay_on_contrast(rgb: npt.NDArray[np.uint8], data: bytes, budget: Budget) -> npt.NDArray[np.uint8]:
    """Lay what is visible on black where it is light, since on white it would not be seen.

    Args:
        rgb: [h, w, 3], the decoded image, its transparency laid on white.
        data: the file that it was decoded from, which has passed the limits on files.
        budget: of memory for decoding.

    Returns:
        [h, w, 3]; the same array where the image has no transparency, or is dark.
    """
    opacity = _opacity(data, budget)
    if opacity is None:
        return rgb
    opacity = cv2.resize(opacity, rgb.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    on_black = cv2.subtract(rgb, cv2.merge([255 - opacity] * 3))
    visible = float(opacity.sum(dtype=np.int64))
    light = float(on_black.sum(dtype=np.int64)) / 3 > visible / 2
    return on_black.astype(np.uint8) if light else rgb


def _opacity(data: bytes, budget: Budget) -> npt.NDArray[np.uint8] | None:
    """[h, w], turned as EXIF says; None where every pixel is opaque."""
    if data.startswith(b"\xff\xd8") or (data[12:16] == b"IHDR" and data[25] in _OPAQUE_PNG and b"tRNS" not in data):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.mode not in _MODES and "transparency" not in image.info:
                return None
            with budget.spend(_BYTES_PER_PIXEL * image.width * image.height):
                alpha = ImageOps.exif_transpose(image.convert("RGBA").getchannel("A"))
    except Exception:  # another format, or one whose transparency is unusual: it was decoded without
        return None
    return None if alpha.getextrema()[0] == 255 else np.asarray(alpha)
