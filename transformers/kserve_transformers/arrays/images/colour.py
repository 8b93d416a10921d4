"""ICC profiles: colours that are not sRGB are converted to it, by LittleCMS."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# Profiles of printers are the largest, with 2 MB or so.
_MAX_BYTES = 4 * 2**20
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# A profile that moves no colour by more than this many levels of 255 is sRGB, by whatever name.
_SRGB_WITHIN = 2
_STEPS = np.linspace(0, 255, 6).round().astype(np.uint8)


class Profile:
    """An ICC profile that changes what is seen.

    Args:
        mode: Pillow's mode of the images that it is for: L, RGB or CMYK.
        transform: from these to sRGB.
    """

    def __init__(self, mode: str, transform: ImageCms.ImageCmsTransform) -> None:
        self.mode = mode
        self.transform = transform


def read_profile(data: bytes | None) -> Profile | None:
    """The profile that an image carries; None where it changes nothing: none, sRGB, damaged or of another kind."""
    return _read_profile(data) if data and len(data) <= _MAX_BYTES else None


@lru_cache(maxsize=16)  # an image's profile is its camera's
def _read_profile(data: bytes) -> Profile | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        mode = _MODES[profile.profile.xcolor_space]
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
        samples = Image.fromarray(_samples(mode), mode if mode == "CMYK" else None)
        moved = np.asarray(ImageCms.applyTransform(samples, transform)).astype(int) - np.asarray(samples.convert("RGB"))
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError, TypeError):
        return None  # as browsers do
    return Profile(mode, transform) if abs(moved).max() > _SRGB_WITHIN else None


def _samples(mode: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Colours from all over a mode's range, as an image."""
    if mode == "L":
        return np.arange(256, dtype=np.uint8)[np.newaxis]
    grid = np.meshgrid(*[_STEPS] * len(mode), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=-1)[np.newaxis]


def to_srgb(image: Image.Image, profile: Profile | None) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB; a profile that is for another mode is ignored."""
    if profile is None or profile.mode != image.mode:
        return image if image.mode == "RGB" else image.convert("RGB")
    converted = ImageCms.applyTransform(image, profile.transform)
    assert converted is not None  # noqa: S101  (None only where it is done in place)
    return converted
