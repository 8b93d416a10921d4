"""BMP: uncompressed."""

from kserve_transformers.arrays.images.encoded import Encoded, open_with_pillow
from kserve_transformers.arrays.images.webp import decode_with_pillow
from kserve_transformers.errors import UnsupportedMediaError

_BYTES_PER_PIXEL = 10
_FULL_HEADER = 40  # bytes; a shorter one, OS/2's, knows no compression
# Those that are not read, by their numbers in the header.
_COMPRESSIONS = {1: "run-length encoded", 2: "run-length encoded", 4: "JPEG-compressed", 5: "PNG-compressed"}


def open_bmp(data: bytes, max_pixels: int) -> Encoded:
    """Read a BMP's header.

    Raises:
        UnsupportedMediaError: it is compressed.
        TooLargeError: more pixels than allowed.
        BadRequestError: damaged.
    """
    compression = int.from_bytes(data[30:34], "little") if data[14:15] >= bytes([_FULL_HEADER]) else 0
    if compression in _COMPRESSIONS:
        raise UnsupportedMediaError(
            f"{_COMPRESSIONS[compression]} BMP images are not read: save it uncompressed or as PNG"
        )
    image = open_with_pillow(data, "BMP", max_pixels)
    return Encoded(
        image.size,
        1,
        _BYTES_PER_PIXEL * image.width * image.height,
        lambda reduction: decode_with_pillow(image, reduction),
    )
