"""What is known of an image before a pixel of it is decoded, and the errors that formats share."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from kserve_transformers.errors import BadRequestError, ServingError, TooLargeError

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Encoded:
    """An image whose header was read and checked."""

    size_wh: tuple[int, int]  # width and height in pixels as stored, before the orientation is applied
    orientation: int  # how to turn what is decoded, 1 to 8 as EXIF counts (Exif 2.32, tag 274)
    bytes_needed: int  # memory that decoding takes at most
    # from a reduction (1, 2, 4 or 8) to the pixels, [ceil(height / reduction), ceil(width / reduction), 3]
    decode: Callable[[int], RGB]


def check_pixels(size_wh: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image of no pixels, or of more than the limit.

    Raises:
        BadRequestError: a side is 0.
        TooLargeError: more than `max_pixels`.
    """
    width, height = size_wh
    if width < 1 or height < 1:
        raise BadRequestError(f"the image has {width}x{height} pixels: send one that has some")
    if width * height > max_pixels:
        raise TooLargeError(
            f"the image has {width}x{height} = {width * height} pixels; the limit is {max_pixels}: scale it down",
            width * height,
        )


def damaged(name: str) -> BadRequestError:
    """The error for a file that is of a format, but breaks its rules."""
    return BadRequestError(f"the {name} image is truncated or damaged")


def too_many(what: str) -> BadRequestError:
    """The error for a file whose structure would keep a codec busy."""
    return BadRequestError(f"the image's file is made of too many {what}: save it anew with an ordinary program")


def open_with_pillow(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Let Pillow read the header of a file that was checked.

    Args:
        data: a whole file.
        name: of its format, as in `formats.NAMES`.
        max_pixels: limit on width times height.

    Raises:
        BadRequestError: the header is damaged.
        TooLargeError: more pixels than allowed.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=(name.upper(),))
    except ServingError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, 4 times ours: some codecs need memory to open a file
        raise TooLargeError(f"the image has far more than {max_pixels} pixels: scale it down") from None
    except Exception as exc:  # codecs raise whatever they like on damaged headers
        raise BadRequestError(f"the {name} image is truncated or damaged: its header cannot be read") from exc
    check_pixels(image.size, max_pixels)
    return image
