"""From a codec's form to RGB, band by band: a large image is never there in several modes at once."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from kserve_transformers.arrays.images.colour import Profile, to_srgb
from kserve_transformers.arrays.images.encoded import RGB

# Pixels that are converted at once: what an image costs beyond the codec's form and the answer stays small.
_BAND_PIXELS = 1 << 20
_REDUCTIONS = 8  # the largest; bands begin at its multiples

Band = Callable[[int, int], Image.Image]


def render(size_wh: tuple[int, int], reduction: int, band: Band, profile: Profile | None = None) -> RGB:
    """An image from its bands.

    Args:
        size_wh: of the whole image.
        reduction: by how much it is reduced, by averaging.
        band: from a first row and the row behind the last one to these rows, in mode L, RGB or CMYK.
        profile: of the image's colours.

    Returns:
        [ceil(height / reduction), ceil(width / reduction), 3].
    """
    width, height = size_wh
    rgb = np.empty((-(-height // reduction), -(-width // reduction), 3), np.uint8)
    rows = max(_BAND_PIXELS // width // _REDUCTIONS, 1) * _REDUCTIONS
    for top in range(0, height, rows):
        image = band(top, min(top + rows, height))
        reduced = np.asarray(to_srgb(image.reduce(reduction) if reduction > 1 else image, profile))
        rgb[top // reduction : top // reduction + len(reduced)] = reduced
    return rgb


def on_white(
    colours: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], premultiplied: bool = False
) -> npt.NDArray[np.uint8]:
    """Colours laid on white.

    Args:
        colours: [..., C], grey or RGB.
        alpha: [...], 255 is opaque.
        premultiplied: whether the colours were multiplied by alpha already.
    """
    weight = alpha[..., np.newaxis].astype(np.uint16)
    if premultiplied:
        laid = np.minimum(colours + (255 - weight), 255)
    else:
        laid = (colours * weight + (255 - weight) * np.uint16(255) + np.uint16(127)) // 255
    return np.asarray(laid, np.uint8)


def flat(image: Image.Image) -> Image.Image:
    """A band of Pillow's, in any 8-bit mode, as grey, RGB or CMYK on white."""
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("LA", "RGBA"):
        samples = np.asarray(image)
        colours = on_white(samples[..., :-1], samples[..., -1])
        return Image.fromarray(colours[..., 0] if image.mode == "LA" else colours)
    return image.convert("RGB")


def to_mode(samples: npt.NDArray[np.uint8], mode: str) -> Image.Image:
    """Samples as an image of Pillow's.

    Args:
        samples: [height, width, C].
        mode: L, RGB or CMYK.
    """
    height, width = samples.shape[:2]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(samples), "raw", mode, 0, 1)
