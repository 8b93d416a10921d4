"""Decodes images: encoded bytes to RGB pixels, with the limits checked before any pixel is decoded."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from kserve_transformers.arrays.budget import Budget, give_back_blocks
from kserve_transformers.arrays.headers import check_header, is_small, orientation
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

RGB = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# How files of these formats begin; one that does, but cannot be opened, is damaged.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
# libjpeg computes these from fewer coefficients; other formats are reduced after decoding, so that what is kept of
# a request's images is small.
_REDUCTIONS = (8, 4, 2)
# Pixels that are converted at once: what an image costs beyond Pillow's decoded form and the answer stays small.
_BAND_PIXELS = 1 << 20
# Bytes a pixel while an image is decoded, its answer unreduced and turned: as measured by tests/fuzz/test_memory.py.
_BYTES_PER_PIXEL = {"WEBP": 16, "GIF": 5}
_BYTES_PER_PIXEL_OTHERS = 10
# Of all images that are decoded at once, by however many threads: one of 40 megapixels in the costliest format.
DECODING = Budget(16 * 40_000_000)

# Pillow warns of damaged metadata, once for each tag of a file: a caller could fill the log.
warnings.filterwarnings("ignore", module=r"PIL\.")
give_back_blocks(8 * 2**20)  # Pillow takes an image's memory in blocks of 16 MB


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        rgb: [height, width, 3], RGB, 0..255; a large image may have been reduced.
        size_wh: width and height in pixels of the image as a person sees it, before any reduction.
    """

    rgb: RGB
    size_wh: tuple[int, int]


def full_scale(size_wh: tuple[int, int]) -> float:
    """The scale of a reader who wants every pixel."""
    return 1.0


def decode_image(
    data: bytes, max_pixels: int, needed_scale: Callable[[tuple[int, int]], float] = full_scale
) -> DecodedImage:
    """Decode one image as a person would see it.

    EXIF orientation is applied, transparency is laid on white, 16-bit samples keep their high byte, and of
    animations the first frame counts.

    Args:
        data: an encoded image in one of `FORMATS`.
        max_pixels: limit on width times height, checked from the header.
        needed_scale: from the image's (width, height) to the smallest scale at which the caller can use it;
            it is reduced by 2, 4 or 8 where that is enough, a JPEG already while decoding.

    Returns:
        The image.

    Raises:
        UnsupportedMediaError: not one of `FORMATS`.
        TooLargeError: more pixels than allowed, in the image, its frame or one of its tiles.
        BadRequestError: empty, truncated or damaged data.
    """
    if not data:
        raise BadRequestError("the image is empty: send the bytes of an image file")
    check_header(data, max_pixels)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data.startswith(_SIGNATURES):
            raise BadRequestError("the image is truncated or damaged: its header cannot be read") from None
        raise UnsupportedMediaError(f"not an image that is read here: send one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:  # Pillow's own limit, 4 times ours: some codecs need memory to open a file
        raise TooLargeError(f"the image has far more than {max_pixels} pixels: scale it down") from None
    except Exception as exc:  # codecs raise whatever they like on damaged headers
        raise BadRequestError("the image's header is damaged") from exc
    width, height = image.size
    if width * height > max_pixels:
        raise TooLargeError(
            f"the image has {width}x{height} = {width * height} pixels; the limit is {max_pixels}: scale it down",
            width * height,
        )
    with nullcontext() if is_small(data) else DECODING.spend(_cost(image)):  # the event loop must not wait
        try:
            return _decode(image, data, needed_scale)
        finally:
            image.close()
            del image  # a codec's own memory, which `close` leaves, must be gone before the next image is begun


def _decode(image: Image.Image, data: bytes, needed_scale: Callable[[tuple[int, int]], float]) -> DecodedImage:
    # libjpeg with warnings as errors: Pillow passes damaged scans, and holds the GIL while it decodes.
    by_libjpeg = image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB")
    with _whatever_codecs_raise(image.format):
        if not by_libjpeg:
            image.load()  # PNG may say its orientation behind its pixels; TIFF is turned by this
        turned = 1 if image.format == "TIFF" else orientation(image.info.get("exif", b""))
    width, height = image.size
    size_wh = (height, width) if turned in (5, 6, 7, 8) else (width, height)
    reduction = _reduction(needed_scale(size_wh))  # what goes wrong in there is no image's fault
    with _whatever_codecs_raise(image.format):
        if by_libjpeg:
            smallest = {"min_width": -(-width // reduction), "min_height": -(-height // reduction)}
            if simplejpeg.decode_jpeg_header(data)[:2] != (height, width):
                raise ValueError("Pillow and libjpeg read different sizes: the limit was checked on the wrong one")
            pixels: RGB = simplejpeg.decode_jpeg(data, "RGB", **smallest, strict=True)
        else:
            pixels = _to_rgb(image, reduction)
        return DecodedImage(_orient(pixels, turned), size_wh)


@contextmanager
def _whatever_codecs_raise(file_format: str | None) -> Iterator[None]:
    """Tell it as damage: nothing else is known of it."""
    try:
        yield
    except UnsupportedMediaError:
        raise
    except Exception as exc:
        raise BadRequestError(f"the {file_format} image is truncated or damaged") from exc


def _cost(image: Image.Image) -> int:
    """Bytes that decoding takes at most."""
    per_pixel = _BYTES_PER_PIXEL.get(image.format or "", _BYTES_PER_PIXEL_OTHERS)
    if image.format in ("JPEG", "MPO"):  # the coefficients of a progressive one are all there at once
        per_pixel = 6 + ((6 if image.mode != "CMYK" else 8) if "progressive" in image.info else 0)
        per_pixel += 4 if image.mode == "CMYK" else 0
    return per_pixel * image.width * image.height


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


def _to_rgb(image: Image.Image, reduction: int) -> RGB:
    """What a person sees, reduced: band by band, so that a large image is never there in several modes at once."""
    if image.mode == "F":
        raise UnsupportedMediaError("floating-point images have no fixed range: send 8 or 16 bits a sample")
    width, height = image.size
    rgb = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    rows = max(_BAND_PIXELS // width // _REDUCTIONS[0], 1) * _REDUCTIONS[0]
    for top in range(0, height, rows):
        band = _band_to_rgb(image.crop((0, top, width, min(top + rows, height))))
        reduced = np.asarray(band.reduce(reduction) if reduction > 1 else band)
        rgb[top // reduction : top // reduction + len(reduced)] = reduced
    return rgb


def _band_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        samples = np.clip(np.asarray(image).astype(np.int64), 0, 0xFFFF)
        image = Image.fromarray((samples >> 8).astype(np.uint8))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
