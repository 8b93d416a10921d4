"""The image formats that are read: what documents, the page and clients say about them is made from this table."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """An image format.

    The first media type is the usual one; suffixes are in lower case. `optional`: a server can be configured to refuse
    it.
    """

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    optional: bool = False


FORMATS = (
    Format("JPEG", ("image/jpeg",), (".jpg", ".jpeg")),
    Format("PNG", ("image/png",), (".png",)),
    Format("WebP", ("image/webp",), (".webp",)),
    Format("BMP", ("image/bmp",), (".bmp",)),
    Format("GIF", ("image/gif",), (".gif",)),
    Format("TIFF", ("image/tiff",), (".tif", ".tiff")),
    Format("AVIF", ("image/avif",), (".avif",), optional=True),
    Format("HEIC", ("image/heic", "image/heif"), (".heic", ".heif"), optional=True),
)
NAMES = tuple(one.name for one in FORMATS)
OPTIONAL = tuple(one.name for one in FORMATS if one.optional)
SUFFIXES = frozenset(suffix for one in FORMATS for suffix in one.suffixes)


def media_types(refused: Collection[str] = ()) -> tuple[str, ...]:
    """The media types of the formats that are read."""
    return tuple(media_type for one in FORMATS if one.name not in refused for media_type in one.media_types)


def listed(refused: Collection[str] = ()) -> str:
    """The names of the formats that are read, for a message."""
    return ", ".join(name for name in NAMES if name not in refused)
