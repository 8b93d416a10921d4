"""What an HEVC image's own header says of its size (ITU-T H.265): a decoder allocates by it, not by the container."""

from collections.abc import Iterator

from kserve_transformers.arrays.images.bits import Bits
from kserve_transformers.arrays.images.encoded import damaged, too_many

_SPS, _FIRST_NOT_VCL = 33, 32
_MAX_UNITS = 4_000
_SPS_START = 256  # bytes that hold all that stands before the size, and the size


def coded(configuration: bytes, data: bytes) -> tuple[int, bool]:
    """Pixels of the image as coded, and whether it has more than 8 bits a sample.

    Args:
        configuration: the item's property hvcC.
        data: of the item, NAL units behind their lengths.

    Raises:
        BadRequestError: damaged, or of more than one image.
    """
    if len(configuration) < 23 or not data:
        raise damaged("HEIC")
    units = [*_configured(configuration), *_units(data, (configuration[21] & 3) + 1)]
    sizes, images = [], 0
    for unit in units:
        kind, layer = unit[0] >> 1 & 63, (unit[0] & 1) << 5 | unit[1] >> 3
        if layer == 0 and kind == _SPS:
            sizes.append(_size(unit))
        images += layer == 0 and kind < _FIRST_NOT_VCL and unit[2] >> 7  # the first slice of an image
    if not sizes or images != 1:
        raise damaged("HEIC")
    return max(width * height for width, height, _ in sizes), any(depth > 8 for *_, depth in sizes)


def _configured(configuration: bytes) -> Iterator[bytes]:
    """The NAL units of the configuration (ISO/IEC 14496-15, 8.3.2)."""
    at = 23
    for _ in range(configuration[22]):
        count, at = int.from_bytes(configuration[at + 1 : at + 3]), at + 3
        if count > _MAX_UNITS:
            raise too_many("units")
        for _ in range(count):
            length, at = int.from_bytes(configuration[at : at + 2]), at + 2
            yield _start(configuration, at, length)
            at += length


def _units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return
        length, at = int.from_bytes(data[at : at + length_bytes]), at + length_bytes
        yield _start(data, at, length)
        at += length
    raise too_many("units")


def _start(data: bytes, at: int, length: int) -> bytes:
    if length < 3 or at + length > len(data):
        raise damaged("HEIC")
    return data[at : at + min(length, _SPS_START)]


def _size(unit: bytes) -> tuple[int, int, int]:
    """Width, height and bits a sample of a sequence parameter set (7.3.2.2)."""
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    sub_layers = bits.take(3)
    bits.take(1 + 96)  # profile, tier and level
    present = [(bits.take(1), bits.take(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (8 - sub_layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.take_exp_golomb()
    if bits.take_exp_golomb() == 3:
        bits.take(1)
    width, height = bits.take_exp_golomb(), bits.take_exp_golomb()
    if bits.take(1):  # the part that is shown
        for _ in range(4):
            bits.take_exp_golomb()
    return width, height, 8 + max(bits.take_exp_golomb(), bits.take_exp_golomb())
