"""How the samples of a TIFF page are laid out, and which layouts are read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kserve_transformers.errors import BadRequestError, UnsupportedMediaError

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
_NOT_READ = {4: "mask", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "raw (CFA)", 32844: "LogL", 32845: "LogLuv",
             34892: "raw (LinearRaw)"}  # fmt: skip
NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 7, 8, 32946, 32773
_COMPRESSIONS = (NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS)
_COMPRESSIONS_NOT_READ = {
    2: "fax (CCITT RLE)", 3: "fax (CCITT group 3)", 4: "fax (CCITT group 4)", 6: "old-style JPEG",
    32771: "fax (CCITT RLE)", 32809: "ThunderScan", 34676: "LogLuv", 34677: "LogLuv", 34712: "JPEG 2000",
    34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 52546: "JPEG XL",
}  # fmt: skip
_PREDICTED = (LZW, DEFLATE, OLD_DEFLATE)
# SampleFormat; 4 is "undefined", which is taken as unsigned.
_SAMPLE_FORMATS_NOT_READ = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_PREMULTIPLIED, _ALPHA = 1, 2
_MAX_SAMPLES = 4


@dataclass(frozen=True)
class Layout:
    """A page's layout."""

    size_wh: tuple[int, int]  # of the page, in pixels
    photometric: int  # what the samples mean
    bits: int  # of a sample
    samples: int  # of a pixel
    alpha: int | None  # the index of the sample that is alpha; None where there is none
    premultiplied: bool  # whether the colours were multiplied by it
    planes: int  # 1, or as many as there are samples where each has its own strips
    compression: int  # of the strips
    predicted: bool  # whether samples are stored as differences to the pixel before
    fill_order: int  # 1, or 2 where the first pixel is in a byte's lowest bit
    little: bool  # the byte order of samples
    tiled: bool  # whether it is cut into tiles, or into strips of whole rows
    tile_wh: tuple[int, int]  # of a tile or a strip, in pixels
    palette: npt.NDArray[np.uint8] | None  # [2**bits, 3], RGB; None without one

    @property
    def colours(self) -> int:
        """How many samples are colours."""
        return _COLOURS[self.photometric]

    @property
    def samples_of_plane(self) -> int:
        """Samples of a pixel that stand beside each other."""
        return self.samples // self.planes

    @property
    def tile_row_bytes(self) -> int:
        """Bytes of a row of a tile or a strip, in one plane."""
        return -(-self.tile_wh[0] * self.samples_of_plane * self.bits // 8)

    @property
    def strips_wh(self) -> tuple[int, int]:
        """How many tiles or strips there are across and down."""
        (width, height), (tile_w, tile_h) = self.size_wh, self.tile_wh
        return -(-width // tile_w), -(-height // tile_h)

    @property
    def row_bytes(self) -> int:
        """Bytes of a plane's row, with the tiles' padding at its right."""
        return self.strips_wh[0] * self.tile_row_bytes

    @property
    def bytes_per_pixel(self) -> int:
        """Of all samples, rounded up."""
        return -(-self.samples * self.bits // 8)


def read_layout(
    values: Callable[[int, int], tuple[int, ...]],
    number: Callable[[int, int], int],
    size_wh: tuple[int, int],
    little: bool,
) -> Layout:
    """Read how a page is laid out.

    Args:
        values: the values of a tag, at most so many.
        number: the one value of a tag, or a default.
        size_wh: of the page.
        little: whether the file is little-endian.

    Raises:
        UnsupportedMediaError: a layout that is not read, with its name.
        BadRequestError: tags that contradict each other.
    """
    compression = number(259, NONE)
    if compression not in _COMPRESSIONS:
        name = _COMPRESSIONS_NOT_READ.get(compression, f"number {compression}")
        raise UnsupportedMediaError(f"the TIFF image's compression, {name}, is not read: use LZW, deflate or none")
    photometric, samples = number(262, MIN_IS_WHITE if compression in (2, 3, 4) else MIN_IS_BLACK), number(277, 1)
    if photometric not in _COLOURS:
        name = _NOT_READ.get(photometric, f"number {photometric}")
        raise UnsupportedMediaError(f"{name} TIFF images are not read: save it as RGB or grey")
    if samples > _MAX_SAMPLES:
        raise UnsupportedMediaError("the TIFF image has more than four samples a pixel: send RGB or grey")
    if samples < _COLOURS[photometric]:
        raise BadRequestError("the TIFF image is damaged: it has fewer samples than its colours need")
    if photometric == CMYK and number(332, 1) != 1:
        raise UnsupportedMediaError("TIFF images of other inks than CMYK are not read: save it as RGB")
    bits = _bits(values(258, samples) or (1,), compression)
    if photometric == YCBCR and (bits != 8 or samples != 3):
        raise UnsupportedMediaError("YCbCr TIFF images are read with three samples of 8 bits only: save it as RGB")
    formats = values(339, samples)
    for name in (_SAMPLE_FORMATS_NOT_READ[one] for one in formats if one in _SAMPLE_FORMATS_NOT_READ):
        raise UnsupportedMediaError(f"{name} images have no fixed range: send unsigned samples of 8 or 16 bits")
    predictor = number(317, 1)
    if predictor not in (1, 2) or (predictor == 2 and compression in (NONE, PACKBITS)):
        raise UnsupportedMediaError(f"TIFF predictor {predictor} is not read with this compression: save it without")
    planes = samples if number(284, 1) == 2 else 1
    if compression == JPEG and (planes > 1 or samples != _COLOURS[photometric] or photometric == PALETTE):
        raise UnsupportedMediaError("TIFF images with JPEG compression are read as grey, RGB, YCbCr or CMYK only")
    tiled = bool(values(322, 1))
    tile_wh = (number(322, 0), number(323, 0)) if tiled else (size_wh[0], min(number(278, size_wh[1]), size_wh[1]))
    if min(tile_wh) < 1:
        raise BadRequestError("the TIFF image is damaged: its strips or tiles have no pixels")
    alpha, premultiplied = _alpha(values(338, samples), photometric, samples)
    return Layout(
        size_wh, photometric, bits, samples, alpha, premultiplied, planes, compression,
        predictor == 2 and compression in _PREDICTED, number(266, 1), little, tiled, tile_wh,
        _palette(values, bits) if photometric == PALETTE else None,
    )  # fmt: skip


def _bits(stated: tuple[int, ...], compression: int) -> int:
    bits = stated[0]
    if set(stated) != {bits}:
        raise UnsupportedMediaError("TIFF images with samples of different depths are not read: save it with 8 bits")
    if compression == JPEG and bits != 8:
        raise UnsupportedMediaError(f"JPEG images of {bits} bits a sample are not read: save it with 8 bits")
    if not (1 <= bits <= 16 or bits == 32):
        raise UnsupportedMediaError(f"TIFF images of {bits} bits a sample are not read: save it with 8 or 16 bits")
    return bits


def _alpha(extra: tuple[int, ...], photometric: int, samples: int) -> tuple[int | None, bool]:
    """Which sample is alpha, and whether it was multiplied into the colours."""
    colours = _COLOURS[photometric]
    for index, meaning in enumerate(extra[: samples - colours]):
        if meaning in (_PREMULTIPLIED, _ALPHA):
            return colours + index, meaning == _PREMULTIPLIED
    if not extra and photometric == RGB and samples == colours + 1:
        return colours, False  # the tag is missing: it is alpha in practice
    return None, False


def _palette(values: Callable[[int, int], tuple[int, ...]], bits: int) -> npt.NDArray[np.uint8]:
    if bits > 8:
        raise UnsupportedMediaError(f"TIFF palettes of {bits} bits are not read: save it as RGB")
    stated = values(320, 3 << bits)
    if len(stated) != 3 << bits:
        raise BadRequestError("the TIFF image is damaged: its palette is missing or has another size")
    colours = np.array(stated, np.uint16).reshape(3, -1).T
    # some scanners write 8 bits where 16 belong (libtiff's checkcmap looks for it, too)
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
