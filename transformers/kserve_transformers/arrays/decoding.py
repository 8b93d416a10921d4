"""Decodes images: encoded bytes to RGB pixels, with the limits checked before any pixel is decoded."""

import logging
import warnings
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from kserve_transformers.arrays.budget import Budget, give_back_blocks
from kserve_transformers.arrays.images import foreign, formats, heif, libtiff
from kserve_transformers.arrays.images.bmp import open_bmp
from kserve_transformers.arrays.images.encoded import RGB, Encoded, damaged
from kserve_transformers.arrays.images.gif import open_gif
from kserve_transformers.arrays.images.jpeg import open_jpeg
from kserve_transformers.arrays.images.png import is_small, open_png
from kserve_transformers.arrays.images.tiff import open_tiff
from kserve_transformers.arrays.images.webp import open_webp
from kserve_transformers.errors import BadRequestError, ServingError, UnsupportedMediaError

_OPEN: dict[str, Callable[[bytes, int], Encoded]] = {
    "JPEG": open_jpeg,
    "PNG": open_png,
    "WebP": open_webp,
    "BMP": open_bmp,
    "GIF": open_gif,
    "TIFF": open_tiff,
    "AVIF": heif.open_heif,
    "HEIC": heif.open_heif,
}
# How files begin; that of a TIFF says what byte order it has, and whether its offsets are long.
_SIGNATURES = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
}
# The beginnings of these, cut off before the format is known for sure.
_TORN = (b"RIFF", b"\x89PNG", b"GIF8", b"BM", b"II*", b"MM\0")
_REDUCTIONS = (8, 4, 2)
# Of all images that are decoded at once, by however many threads: one of 40 megapixels in the costliest format.
DECODING = Budget(16 * 40_000_000)

# Pillow warns of damaged metadata, once for each tag of a file: a caller could fill the log.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.ERROR)
libtiff.log_messages()
give_back_blocks(8 * 2**20)  # Pillow takes an image's memory in blocks of 16 MB


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image."""

    rgb: RGB  # [height, width, 3], sRGB, 0..255; a large image may have been reduced
    size_wh: tuple[int, int]  # width and height in pixels of the image as a person sees it, before any reduction


def full_scale(size_wh: tuple[int, int]) -> float:
    """The scale of a reader who wants every pixel."""
    return 1.0


def decode_image(
    data: bytes, max_pixels: int, needed_scale: Callable[[tuple[int, int]], float] = full_scale
) -> DecodedImage:
    """Decode one image as a person would see it.

    Orientation is applied, colours are converted to sRGB where a profile says how, transparency is laid on white,
    16-bit samples keep their high byte, and of animations the first frame counts.

    Args:
        data: an encoded image in one of `formats.FORMATS`.
        max_pixels: limit on width times height, checked from the header.
        needed_scale: from the image's (width, height) to the smallest scale at which the caller can use it;
            it is reduced by 2, 4 or 8 where that is enough, a JPEG already while decoding.

    Returns:
        The image.

    Raises:
        UnsupportedMediaError: not one of the formats, or a kind of it that is not read.
        TooLargeError: more pixels than allowed, in the image, its frame or one of its tiles.
        BadRequestError: empty, truncated or damaged data.
    """
    name = _format(data)
    encoded = _open(name, data, max_pixels)
    width, height = encoded.size_wh
    size_wh = (height, width) if encoded.orientation in (5, 6, 7, 8) else (width, height)
    reduction = _reduction(needed_scale(size_wh))  # what goes wrong in there is no image's fault
    with nullcontext() if is_small(data) else DECODING.spend(encoded.bytes_needed):  # the event loop must not wait
        try:
            pixels = encoded.decode(reduction)
        except ServingError:
            raise
        except Exception as exc:  # codecs raise whatever they like
            raise damaged(name) from exc
        finally:
            turned = encoded.orientation
            del encoded  # a codec's own memory must be gone before the next image is begun
        return DecodedImage(_orient(pixels, turned), size_wh)


def refuse_formats(data: bytes, names: Collection[str]) -> None:
    """Refuse an image of a format that this server is configured not to read.

    Raises:
        UnsupportedMediaError: it is of one of these formats.
    """
    if names and (name := _known_format(data)) in names:
        raise UnsupportedMediaError(f"{name} images are switched off here: send one of {formats.listed(names)}")


def media_type(data: bytes) -> str:
    """The media type of an image's format, by how it begins; application/octet-stream of what is not read."""
    name = _known_format(data)
    return next((one.media_types[0] for one in formats.FORMATS if one.name == name), "application/octet-stream")


def _open(name: str, data: bytes, max_pixels: int) -> Encoded:
    try:
        return _OPEN[name](data, max_pixels)
    except ServingError:
        raise
    except Exception as exc:  # codecs raise whatever they like
        raise damaged(name) from exc


def _format(data: bytes) -> str:
    """The name of a file's format.

    Raises:
        BadRequestError: there is nothing, or too little to tell.
        UnsupportedMediaError: it is not a format that is read.
    """
    if not data:
        raise BadRequestError("the image is empty: send the bytes of an image file")
    name = _known_format(data)
    if name:
        return name
    if len(data) < 16 and data.startswith(_TORN):
        raise BadRequestError("the image is truncated or damaged: its header cannot be read")
    called = foreign.name(data)
    what = f"not an image that is read here, but {called}" if called else "not an image that is read here"
    raise UnsupportedMediaError(f"{what}: send one of {formats.listed()}")


def _known_format(data: bytes) -> str | None:
    if data.startswith(b"RIFF"):
        return "WebP" if data[8:12] == b"WEBP" else None
    return next((name for start, name in _SIGNATURES.items() if data.startswith(start)), None) or heif.brand(data)


def _reduction(scale: float) -> int:
    """The largest reduction that leaves the image at least this scale."""
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
