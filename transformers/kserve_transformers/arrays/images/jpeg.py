"""JPEG: what libjpeg gets is rebuilt from the segments that make pixels."""

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import simplejpeg

from kserve_transformers.arrays.images.colour import Profile, read_profile
from kserve_transformers.arrays.images.encoded import RGB, Encoded, check_pixels, damaged, open_with_pillow, too_many
from kserve_transformers.arrays.images.exif import orientation
from kserve_transformers.arrays.images.render import render, to_mode
from kserve_transformers.errors import BadRequestError, UnsupportedMediaError

# Segments that are gone through one by one, and stray bytes between two of them.
_MAX_SEGMENTS, _MAX_STRAY = 2_000, 1 << 16
# Each scan of a progressive JPEG goes over the whole image; encoders make 10 or so.
_MAX_SCANS = 64
# What follows stray and fill bytes: a marker, which is neither a stuffed byte nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
# The end of entropy-coded data; restarts are part of it.
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_DHT, _EOI, _SOS, _DQT, _DNL, _DRI, _APP0, _APP1, _APP2, _APP14 = (
    0xC4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE,
)  # fmt: skip
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
# Of frames that are not read (ITU-T T.81, table B.1), and of JPEG-LS.
_FRAMES = {
    0xC3: "lossless",
    **dict.fromkeys((0xC5, 0xC6, 0xC7), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF), "arithmetic-coded"),
    0xF7: "lossless (JPEG-LS)",
}
# Without a length behind them: TEM, RST0 to RST7, SOI.
_BARE_MARKERS = frozenset([0x01, *range(0xD0, 0xD9)])
_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
# libjpeg's warning about bytes that it passed over before a marker; it had decoded all that it needed.
_STRAY = re.compile(r"extraneous bytes before marker")


@dataclass
class Segments:
    """What a JPEG file holds."""

    size_wh: tuple[int, int] = (0, 0)  # of the frame, in pixels
    components: int = 0  # 1 is grey, 3 colour, 4 CMYK
    progressive: bool = False  # whether its coefficients are all there at once while it is decoded
    kept: bytes = b""  # the segments that make pixels, as a file
    exif: bytes = b""  # the first EXIF data
    # parts of the profile by their numbers, and how many there should be
    icc: dict[int, bytes] = field(default_factory=dict)
    icc_count: int = 0

    @property
    def icc_profile(self) -> bytes | None:
        """The whole profile; None where there is none, or parts are missing."""
        numbers = range(1, self.icc_count + 1)
        return b"".join(self.icc[number] for number in numbers) if set(self.icc) == set(numbers) else None


def open_jpeg(data: bytes, max_pixels: int) -> Encoded:
    """Read a JPEG's header.

    Raises:
        UnsupportedMediaError: a kind of JPEG that is not read.
        TooLargeError: more pixels than allowed.
        BadRequestError: damaged, or made of too many segments.
    """
    segments = read_segments(data)
    check_pixels(segments.size_wh, max_pixels)
    profile = read_profile(segments.icc_profile)
    # libjpeg's and the turned RGB; CMYK besides; the coefficients of a progressive one are all there at once
    per_pixel = 6 + 4 * (segments.components == 4) + 2 * segments.progressive * max(segments.components, 3)
    return Encoded(
        segments.size_wh,
        orientation(segments.exif),
        per_pixel * segments.size_wh[0] * segments.size_wh[1],
        lambda reduction: _decode(segments, reduction, profile),
    )


def read_segments(data: bytes, tables: bytes = b"") -> Segments:
    """Go through a file's segments up to its end; what lies between them is left out.

    Args:
        data: a JPEG file.
        tables: segments to decode it with, as a TIFF has them for all of its strips.
    """
    found = Segments()
    kept, at, scans, adobe = [b"\xff\xd8", b"", tables], 2, 0, b""
    for _ in range(_MAX_SEGMENTS):
        begin = _MARKER.search(data, at, at + _MAX_STRAY)
        if begin is None:
            break
        at, marker = begin.start(), data[begin.start() + 1]
        if marker == _EOI:
            kept.append(b"\xff\xd9")
            break
        if marker in _BARE_MARKERS:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        content = data[at + 4 : end]
        if marker == _SOS:
            scans += 1
            if scans > _MAX_SCANS:
                raise too_many("scans")
            behind = _SCAN_END.search(data, end)
            end = behind.start() if behind else len(data)
        if marker == _APP14 and content.startswith(b"Adobe"):
            adobe = content[11:12]
        elif _is_kept(marker, content):
            kept.append(data[at:end])
        _note(found, marker, content)
        at = end
    else:
        raise too_many("segments")
    if not found.components:
        raise BadRequestError("the JPEG image is truncated or damaged: its header cannot be read")
    if adobe:
        kept[1] = meaning_of_components(found.components, adobe != b"\0")
    found.kept = b"".join(kept)
    return found


def meaning_of_components(count: int, transformed: bool) -> bytes:
    """Adobe's segment, which states what the components mean.

    Args:
        count: of components.
        transformed: whether they are YCbCr or YCCK, and not RGB or CMYK.
    """
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([(2 if count == 4 else 1) if transformed else 0])


def _is_kept(marker: int, content: bytes) -> bool:
    """Whether a segment makes pixels; of applications' those that say what the components mean."""
    if marker == _APP0:
        return content.startswith(b"JFIF\0")
    return marker in (_BASELINE, _EXTENDED, _PROGRESSIVE, _DHT, _SOS, _DQT, _DRI)


def _note(found: Segments, marker: int, content: bytes) -> None:
    """What a segment tells."""
    if marker in _FRAMES:
        raise UnsupportedMediaError(f"{_FRAMES[marker]} JPEG images are not read: save it as baseline JPEG or PNG")
    if marker in (_BASELINE, _EXTENDED, _PROGRESSIVE) and len(content) >= 6:
        if found.components:
            raise BadRequestError("the JPEG image is damaged: it has two frames")
        if content[0] != 8:
            raise UnsupportedMediaError(f"JPEG images of {content[0]} bits a sample are not read: save it with 8 bits")
        height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
        if height == 0:
            raise UnsupportedMediaError("JPEG images that state their height at the end (DNL) are not read: save anew")
        if content[5] not in _COLOURS:
            raise UnsupportedMediaError(f"JPEG images of {content[5]} components are not read: save as RGB or grey")
        found.size_wh, found.components = (width, height), content[5]
        found.progressive = marker == _PROGRESSIVE
    elif marker == _APP1 and content.startswith(b"Exif\0\0") and not found.exif:
        found.exif = content
    elif marker == _APP2 and content.startswith(b"ICC_PROFILE\0") and len(content) > 14:
        found.icc.setdefault(content[12], content[14:])
        found.icc_count = content[13]


def _decode(segments: Segments, reduction: int, profile: Profile | None) -> RGB:
    """In RGB; straight from libjpeg where the colours stay as they are."""
    of_mode = {1: "L", 3: "RGB", 4: "CMYK"}[segments.components]
    applies = profile is not None and profile.mode == of_mode
    if of_mode != "CMYK" and not applies:
        return decode_components(segments, reduction, "RGB")
    pixels = decode_components(segments, reduction)
    size_wh = pixels.shape[1], pixels.shape[0]
    if of_mode == "CMYK":
        pixels = 255 - pixels  # as Adobe writes it, and all others with it
    return render(size_wh, 1, lambda top, bottom: to_mode(pixels[top:bottom], of_mode), profile)


def decode_components(segments: Segments, reduction: int, colours: str | None = None) -> npt.NDArray[np.uint8]:
    """The pixels, reduced while decoding: libjpeg computes them from fewer coefficients.

    Args:
        segments: of the file.
        reduction: 1, 2, 4 or 8.
        colours: RGB; by default what the file has, with CMYK as it is stored.

    Returns:
        [height, width, 1, 3 or 4].
    """
    width, height = segments.size_wh
    smallest = {"min_width": -(-width // reduction), "min_height": -(-height // reduction)}
    try:
        return _by_libjpeg(segments.kept, colours or _COLOURS[segments.components], smallest)
    except _OddSamplingError:
        pixels = _by_pillow(segments, reduction)
    return pixels if colours is None or pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)


class _OddSamplingError(Exception):
    """TurboJPEG's interface has no name for the image's sampling factors; libjpeg itself decodes them."""


def _by_libjpeg(data: bytes, colours: str, smallest: dict[str, int]) -> RGB:
    """With libjpeg's warnings as errors: it passes damaged scans otherwise."""
    try:
        pixels: RGB = simplejpeg.decode_jpeg(data, colours, **smallest, strict=True)
    except ValueError as error:
        if "subsampling" in str(error):
            raise _OddSamplingError from None
        if not _STRAY.search(str(error)) or not data.endswith(b"\xff\xd9"):
            raise
        pixels = simplejpeg.decode_jpeg(data, colours, **smallest, strict=False)
    return pixels


def _by_pillow(segments: Segments, reduction: int) -> RGB:
    image = open_with_pillow(segments.kept, "JPEG", segments.size_wh[0] * segments.size_wh[1])
    if image.size != segments.size_wh:
        raise damaged("JPEG")
    image.draft(image.mode, (max(image.width // reduction, 1), max(image.height // reduction, 1)))
    image.load()
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return 255 - pixels if image.mode == "CMYK" else pixels
