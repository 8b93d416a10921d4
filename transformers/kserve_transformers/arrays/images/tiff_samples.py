"""The samples of a TIFF page: bytes of rows to 8-bit samples, and these to colours."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from kserve_transformers.arrays.images.render import on_white, to_mode
from kserve_transformers.arrays.images.tiff_layout import CMYK, MIN_IS_BLACK, MIN_IS_WHITE, PALETTE, Layout


def to_samples(rows: npt.NDArray[np.uint8], layout: Layout) -> npt.NDArray[np.uint8]:
    """One plane's samples with 8 bits each; palette indices stay as they are.

    Args:
        rows: [height, row bytes], unpacked.
        layout: of the page.

    Returns:
        [height, width, samples of the plane].
    """
    across, each = layout.strips_wh[0], layout.samples_of_plane
    tiles = np.ascontiguousarray(rows).reshape(len(rows), across, layout.tile_row_bytes)
    stored = _unpack(tiles, layout, layout.tile_wh[0] * each).reshape(len(rows), across, layout.tile_wh[0], each)
    if layout.predicted:
        stored = np.cumsum(stored, axis=2, dtype=stored.dtype)
        if layout.bits < 8:
            stored &= np.uint8(2**layout.bits - 1)
    scaled = _to_8_bits(stored, layout)
    return scaled.reshape(len(rows), across * layout.tile_wh[0], each)[:, : layout.size_wh[0]]


def _unpack(tiles: npt.NDArray[np.uint8], layout: Layout, count: int) -> npt.NDArray[np.unsignedinteger]:
    """Samples out of bytes: up to 8 bits in uint8, 9 to 15 at the top of uint16, 16 in uint16, 32 in uint32.

    Args:
        tiles: [height, tiles, bytes of a tile's row].
        layout: of the page.
        count: of a tile's samples in a row.

    Returns:
        [height, tiles, count].
    """
    bits = layout.bits
    if bits == 8:
        return tiles
    if bits in (16, 32):
        native = np.dtype(f"u{bits // 8}")
        return np.asarray(tiles.view(native.newbyteorder("<" if layout.little else ">")), native)
    if bits in (1, 2, 4):
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        samples = (tiles[..., np.newaxis] >> shifts) & np.uint8(2**bits - 1)
        return samples.reshape(*tiles.shape[:2], -1)[..., :count]
    each = np.unpackbits(tiles, axis=-1)[..., : count * bits].reshape(*tiles.shape[:2], count, bits)
    if bits < 8:
        return np.packbits(each, axis=-1)[..., 0] >> np.uint8(8 - bits)
    high, low = np.moveaxis(np.packbits(each, axis=-1), -1, 0)
    return np.asarray(high.astype(np.uint16) << 8 | low)


def _to_8_bits(stored: npt.NDArray[np.unsignedinteger], layout: Layout) -> npt.NDArray[np.uint8]:
    bits = layout.bits
    if bits == 8 or layout.photometric == PALETTE:
        return stored.astype(np.uint8, copy=False)
    if bits in (16, 32):
        return np.asarray(stored >> (bits - 8), np.uint8)
    most = 2**bits - 1
    values = stored.astype(np.uint32) >> (16 - bits if bits > 8 else 0)
    return np.asarray((values * 255 + most // 2) // most, np.uint8)


def to_image(samples: npt.NDArray[np.uint8], layout: Layout) -> Image.Image:
    """Samples as colours on white, in mode L, RGB or CMYK.

    Args:
        samples: [height, width, samples of a pixel].
        layout: of the page.
    """
    colours = samples[..., : layout.colours]
    if layout.photometric == MIN_IS_WHITE:
        colours = 255 - colours
    elif layout.palette is not None:
        colours = layout.palette[colours[..., 0]]
    if layout.alpha is not None and layout.photometric != CMYK:
        colours = on_white(colours, samples[..., layout.alpha], layout.premultiplied)
    grey = layout.photometric in (MIN_IS_WHITE, MIN_IS_BLACK)
    return to_mode(colours, "L" if grey else "CMYK" if layout.photometric == CMYK else "RGB")
