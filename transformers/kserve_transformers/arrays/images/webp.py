"""WebP: the first frame. Pillow reads the header, OpenCV decodes where there is neither alpha nor another frame."""

import cv2
import numpy as np
from PIL import Image

from kserve_transformers.arrays.images.colour import read_profile
from kserve_transformers.arrays.images.encoded import RGB, Encoded, open_with_pillow
from kserve_transformers.arrays.images.exif import orientation
from kserve_transformers.arrays.images.render import flat, render, to_mode

# libwebp keeps two canvases, and Pillow copies twice, 4 bytes a pixel each.
_BYTES_PER_PIXEL = 16


def open_webp(data: bytes, max_pixels: int) -> Encoded:
    """Read a WebP's header.

    Raises:
        TooLargeError: more pixels than allowed.
        BadRequestError: damaged.
    """
    image = open_with_pillow(data, "WebP", max_pixels)
    return Encoded(
        image.size,
        orientation(image.info.get("exif", b"")),
        _BYTES_PER_PIXEL * image.width * image.height,
        lambda reduction: _decode(image, data, reduction),
    )


def _decode(image: Image.Image, data: bytes, reduction: int) -> RGB:
    """The pixels. Pillow goes through libwebp's canvases for animations, which takes twice as long."""
    pixels = None
    if image.mode == "RGB" and getattr(image, "n_frames", 1) == 1:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None or pixels.shape != (image.height, image.width, 3):  # Pillow says what is wrong with it
        return decode_with_pillow(image, reduction)
    profile = read_profile(image.info.get("icc_profile"))
    return render(
        image.size, reduction, lambda top, bottom: to_mode(np.asarray(pixels[top:bottom], np.uint8), "RGB"), profile
    )


def decode_with_pillow(image: Image.Image, reduction: int) -> RGB:
    """The pixels of an image that Pillow opened, on white, with its colour profile applied."""
    image.load()
    profile = read_profile(image.info.get("icc_profile"))
    try:
        return render(
            image.size, reduction, lambda top, bottom: flat(image.crop((0, top, image.width, bottom))), profile
        )
    finally:
        image.close()
