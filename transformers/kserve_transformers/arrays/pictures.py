"""The front door for pictures: encoded bytes to RGB pixels, with the limits checked before a pixel is decoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

RGB = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# How files of these formats begin; one that does, but cannot be opened, is damaged.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*")
_EXIF_ORIENTATION = 0x0112
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
# libjpeg computes these from fewer coefficients; other formats are reduced after decoding, so that what is kept of
# a request's pictures is small.
_REDUCTIONS = (8, 4, 2)

# Our own limit stands in its place: it is lower, and an error instead of a warning.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        rgb: [height, width, 3], RGB, 0..255; a large picture may have been reduced.
        size_wh: width and height in pixels of the picture as a person sees it, before any reduction.
    """

    rgb: RGB
    size_wh: tuple[int, int]


def full_scale(size_wh: tuple[int, int]) -> float:
    """The scale of a reader who wants every pixel."""
    return 1.0


def decode_picture(
    data: bytes, max_pixels: int, needed_scale: Callable[[tuple[int, int]], float] = full_scale
) -> Picture:
    """Decode one picture as a person would see it.

    EXIF orientation is applied, transparency is laid on white, 16-bit samples keep their high byte, and of
    animations the first frame counts.

    Args:
        data: an encoded picture in one of `FORMATS`.
        max_pixels: limit on width times height, checked from the header.
        needed_scale: from the picture's (width, height) to the smallest scale at which the caller can use it;
            it is reduced by 2, 4 or 8 where that is enough, a JPEG already while decoding.

    Returns:
        The picture.

    Raises:
        UnsupportedMediaError: not one of `FORMATS`.
        TooLargeError: more pixels than allowed.
        BadRequestError: empty, truncated or damaged data.
    """
    if not data:
        raise BadRequestError("the picture is empty: send the bytes of an image file")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data.startswith(_SIGNATURES):
            raise BadRequestError("the picture is truncated or damaged: its header cannot be read") from None
        raise UnsupportedMediaError(f"not a picture that is read here: send one of {', '.join(FORMATS)}") from None
    except Exception as exc:  # codecs raise whatever they like on damaged headers
        raise BadRequestError("the picture's header is damaged") from exc
    width, height = image.size
    if width * height > max_pixels:
        raise TooLargeError(
            f"the picture has {width}x{height} = {width * height} pixels; the limit is {max_pixels}: scale it down"
        )
    try:
        return _decode(image, data, needed_scale)
    except UnsupportedMediaError:
        raise
    except Exception as exc:
        raise BadRequestError(f"the {image.format} picture is truncated or damaged") from exc


def _decode(image: Image.Image, data: bytes, needed_scale: Callable[[tuple[int, int]], float]) -> Picture:
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
        # libjpeg with warnings as errors: Pillow passes damaged scans, and holds the GIL while it decodes.
        return _decode_jpeg(data, image.size, image.getexif().get(_EXIF_ORIENTATION, 1), needed_scale)
    rgb = _to_rgb(ImageOps.exif_transpose(image))
    reduction = _reduction(needed_scale(rgb.size))
    return Picture(np.asarray(rgb.reduce(reduction) if reduction > 1 else rgb), rgb.size)


def _decode_jpeg(
    data: bytes, stored_wh: tuple[int, int], orientation: int, needed_scale: Callable[[tuple[int, int]], float]
) -> Picture:
    width, height = stored_wh
    size_wh = (height, width) if orientation in (5, 6, 7, 8) else stored_wh
    reduction = _reduction(needed_scale(size_wh))
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", min_width=-(-width // reduction), min_height=-(-height // reduction), strict=True
    )
    return Picture(_orient(pixels, orientation), size_wh)


def _reduction(scale: float) -> int:
    """The largest reduction that leaves the picture at least this scale."""
    return next((reduction for reduction in _REDUCTIONS if 1 / reduction >= scale), 1)


def _orient(rgb: RGB, orientation: int) -> RGB:
    """Apply an EXIF orientation, 1 to 8 (Exif 2.32, section 4.6.4, tag 274)."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        samples = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF)
        image = Image.fromarray((samples >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise UnsupportedMediaError("floating-point pictures have no fixed range: send 8 or 16 bits a sample")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
