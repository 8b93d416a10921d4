"""What an AV1 image's own header says of its size: a decoder allocates by it, not by the container.

Source: AV1 Bitstream & Decoding Process Specification, sections 5.3, 5.5 and 5.9.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kserve_transformers.arrays.images.bits import Bits
from kserve_transformers.arrays.images.encoded import damaged, too_many
from kserve_transformers.errors import UnsupportedMediaError

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
# Each frame goes over the whole image; an image has one, or four layers.
_MAX_FRAMES, _MAX_UNITS = 8, 4_000
_HEADER = 256  # bytes that hold what is read of a unit
_ASK = 2  # the value of a tool's switch that lets each frame choose
_KEY_FRAME, _SWITCH_FRAME = 0, 3


@dataclass(frozen=True)
class _Sequence:
    """What must be known of a sequence to find whether a frame has a size of its own."""

    pixels: int
    reduced: bool
    point_bits: int
    screen_content: int
    integer_mv: int
    frame_id_bits: int


def coded(configuration: bytes, data: bytes) -> tuple[int, bool]:
    """Pixels of the image as coded, and whether it has more than 8 bits a sample.

    Args:
        configuration: the item's property av1C.
        data: of the item.

    Raises:
        BadRequestError: damaged, or of many frames.
        UnsupportedMediaError: a frame has another size than its sequence.
    """
    if len(configuration) < 4:
        raise damaged("AVIF")
    sequence, pixels, frames = None, 0, 0
    for kind, content in [*_units(configuration[4:]), *_units(data)]:
        if kind == _SEQUENCE:
            sequence = _sequence(Bits(content))
            pixels = max(pixels, sequence.pixels)
        elif kind in (_FRAME_HEADER, _FRAME):
            frames += 1
            if sequence is None:
                raise damaged("AVIF")
            if not sequence.reduced and _has_own_size(Bits(content), sequence):
                raise UnsupportedMediaError("AVIF images of frames of several sizes are not read: save it anew")
    if sequence is None or not frames:
        raise damaged("AVIF")
    if frames > _MAX_FRAMES:
        raise too_many("frames")
    return pixels, bool(configuration[2] & 0x40)


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and beginning of each unit (OBU)."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return
        head, at = data[at], at + (2 if data[at] & 4 else 1)
        length = len(data) - at
        if head & 2:
            length = 0
            for index in range(8):
                if at >= len(data):
                    raise damaged("AVIF")
                byte, at = data[at], at + 1
                length |= (byte & 0x7F) << 7 * index
                if not byte & 0x80:
                    break
        if at + length > len(data):
            raise damaged("AVIF")
        yield head >> 3 & 15, data[at : at + min(length, _HEADER)]
        at += length
    raise too_many("units")


def _sequence(bits: Bits) -> _Sequence:
    """Of a sequence header (5.5)."""
    bits.take(3 + 1)
    reduced = bool(bits.take(1))
    point_bits = delay_bits = 0
    if reduced:
        bits.take(5)
    else:
        model = False
        if bits.take(1):
            bits.take(64)
            equal = bits.take(1)
            if equal:
                bits.take_exp_golomb()
            model = bool(bits.take(1))
            if model:
                delay_bits = bits.take(5) + 1
                bits.take(32 + 5)
                frame_bits = bits.take(5) + 1
                point_bits = 0 if equal else frame_bits
        delays = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if model and bits.take(1):
                bits.take(2 * delay_bits + 1)
            if delays and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    pixels = (bits.take(width_bits) + 1) * (bits.take(height_bits) + 1)
    if reduced:
        return _Sequence(pixels, True, 0, 0, 0, 0)
    frame_id_bits = 0
    if bits.take(1):
        frame_id_bits = bits.take(4) + 2 + bits.take(3) + 1
    bits.take(3 + 4)
    if bits.take(1):
        bits.take(2)
    screen_content = _ASK if bits.take(1) else bits.take(1)
    integer_mv = _ASK
    if screen_content and not bits.take(1):
        integer_mv = bits.take(1)
    return _Sequence(pixels, False, point_bits, screen_content, integer_mv, frame_id_bits)


def _has_own_size(bits: Bits, sequence: _Sequence) -> bool:
    """Whether a frame states a size (5.9.2)."""
    if bits.take(1):  # one that was decoded before is shown
        return False
    kind, shown = bits.take(2), bits.take(1)
    if shown:
        bits.take(sequence.point_bits)
    else:
        bits.take(1)
    if kind != _SWITCH_FRAME and not (kind == _KEY_FRAME and shown):
        bits.take(1)
    bits.take(1)
    screen_content = bits.take(1) if sequence.screen_content == _ASK else sequence.screen_content
    if screen_content and sequence.integer_mv == _ASK:
        bits.take(1)
    bits.take(sequence.frame_id_bits)
    return kind == _SWITCH_FRAME or bool(bits.take(1))
