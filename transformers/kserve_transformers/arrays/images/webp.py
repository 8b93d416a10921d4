"""WebP: the first frame."""

from __future__ import annotations

from PIL import Image

from kserve_transformers.arrays.images.colour import read_profile
from kserve_transformers.arrays.images.encoded import RGB, Encoded, open_with_pillow
from kserve_transformers.arrays.images.exif import orientation
from kserve_transformers.arrays.images.render import flat, render

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
        lambda reduction: decode_with_pillow(image, reduction),
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
