"""TIFF: the first page of full size. Its structure is read here; codecs only unpack its strips and tiles."""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, TiffImagePlugin

from kserve_transformers.arrays.images import jpeg
from kserve_transformers.arrays.images.colour import read_profile
from kserve_transformers.arrays.images.encoded import RGB, Encoded, check_pixels, damaged, too_many
from kserve_transformers.arrays.images.exif import ORIENTATION, TYPE_BYTES, Directory, byte_order, read_directory
from kserve_transformers.arrays.images.render import render
from kserve_transformers.arrays.images.tiff_layout import JPEG, NONE, YCBCR, Layout, read_layout
from kserve_transformers.arrays.images.tiff_samples import to_image, to_samples
from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedMediaError

# A directory's entries, the strips or tiles that an entry lists, and the pages that are gone through.
_MAX_TAGS, _MAX_STRIPS, _MAX_PAGES = 500, 1 << 17, 100
_SHORT, _LONG = 3, 4
_REDUCED_OR_MASK = 0b101  # bits of NewSubfileType
# Bytes a pixel of all samples as stored: more would not fit the memory that is there for one image.
_MAX_BYTES_PER_PIXEL = 8
# What libtiff needs to know of an image whose colours are stored at a lower resolution than its luminance.
_YCBCR_TAGS = (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 529, 530, 531, 532)


# A tag's field type, how many values it has, and their bytes.
Field = tuple[int, int, bytes]


class Page:
    """A directory that was checked, with its values read on demand.

    Args:
        data: the file.
        directory: of the page.

    Raises:
        BadRequestError: its tags claim more than there is, or come twice.
    """

    def __init__(self, data: bytes, directory: Directory) -> None:
        self.data = data
        self.mark = "<" if byte_order(data) == "little" else ">"
        self._tags = {entry.tag: entry for entry in directory.entries}
        if len(directory.entries) > _MAX_TAGS or len(self._tags) < len(directory.entries):
            raise too_many("tags")
        claimed = sum(TYPE_BYTES.get(entry.kind, 16) * entry.values for entry in directory.entries)
        if len(directory.entries) < directory.stated or claimed > len(data):
            raise BadRequestError("the TIFF image is damaged: its tags claim more than there is")

    def values(self, tag: int, most: int) -> tuple[int, ...]:
        """The whole numbers of a tag; none where it is missing.

        Args:
            tag: its number.
            most: how many there may be.

        Raises:
            BadRequestError: another type, too many, or outside of the file.
        """
        entry = self._tags.get(tag)
        if entry is None:
            return ()
        letter = {1: "B", _SHORT: "H", _LONG: "I"}.get(entry.kind)
        if letter is None:
            raise BadRequestError("the TIFF image is damaged: a tag has a type that it cannot have")
        layout = f"{self.mark}{entry.values}{letter}"
        if entry.values > most or entry.at + struct.calcsize(layout) > len(self.data):
            raise BadRequestError("the TIFF image is damaged: its tags claim more than there is")
        return struct.unpack_from(layout, self.data, entry.at)

    def number(self, tag: int, default: int) -> int:
        """The one number of a tag."""
        found = self.values(tag, 1)
        return found[0] if found else default

    def field(self, tag: int) -> Field | None:
        """A tag as it is stored; None where it is missing."""
        entry = self._tags.get(tag)
        if entry is None or entry.kind not in TYPE_BYTES:
            return None
        return entry.kind, entry.values, self.data[entry.at : entry.at + entry.values * TYPE_BYTES[entry.kind]]

    def raw(self, tag: int) -> bytes:
        """The bytes of a tag; none where it is missing."""
        found = self.field(tag)
        return found[2] if found else b""


def open_tiff(data: bytes, max_pixels: int) -> Encoded:
    """Read the header of a TIFF's first page of full size.

    Raises:
        UnsupportedMediaError: a kind of TIFF that is not read.
        TooLargeError: more pixels than allowed, in the page or one of its tiles.
        BadRequestError: damaged.
    """
    if data[2:4] in (b"+\0", b"\0+"):
        raise UnsupportedMediaError("BigTIFF is not read: save it as an ordinary TIFF")
    page = _first_page(data)
    size_wh = width, height = page.number(256, 0), page.number(257, 0)
    check_pixels(size_wh, max_pixels)
    layout = read_layout(page.values, page.number, size_wh, byte_order(data) == "little")
    tile_pixels = layout.tile_wh[0] * layout.tile_wh[1]
    if layout.tiled and tile_pixels > max_pixels:
        raise TooLargeError(
            "the TIFF image's tiles have more pixels than an image may have: use smaller tiles", tile_pixels
        )
    if layout.bytes_per_pixel > _MAX_BYTES_PER_PIXEL:
        raise TooLargeError("the TIFF image has more than 64 bits a pixel: save it with 16 bits a sample")
    offsets, counts = _strips(page, layout)
    turned = page.number(ORIENTATION, 1)
    tables, profile = page.raw(347), page.raw(34675)

    def decode(reduction: int) -> RGB:
        if layout.compression == JPEG:
            scaled = next(one for one in (reduction, 4, 2, 1) if one <= reduction and _is_cut_at_multiples(layout, one))
            samples = _from_jpegs(data, layout, offsets, counts, tables, scaled)
            return render(
                (samples.shape[1], samples.shape[0]),
                reduction // scaled,
                lambda top, end: to_image(samples[top:end], layout),
                read_profile(profile),
            )
        if layout.photometric == YCBCR:
            image = _open(page, {tag: found for tag in _YCBCR_TAGS if (found := page.field(tag))}, size_wh, page.mark)
            return render(size_wh, reduction, lambda top, end: image.crop((0, top, width, end)), read_profile(profile))
        each = len(offsets) // layout.planes
        planes = [
            _unpacked(page, layout, offsets[at : at + each], counts[at : at + each])
            for at in range(0, len(offsets), each)
        ]

        def band(top: int, end: int) -> Image.Image:
            rows = [np.asarray(plane.crop((0, top, plane.width, end))).view(np.uint8) for plane in planes]
            return to_image(np.concatenate([to_samples(one, layout) for one in rows], axis=-1), layout)

        return render(size_wh, reduction, band, read_profile(profile))

    needed = 2 * layout.bytes_per_pixel if layout.compression != JPEG else 6
    return Encoded(size_wh, turned if 1 <= turned <= 8 else 1, max(needed, 10) * width * height, decode)


def _first_page(data: bytes) -> Page:
    """The first that is no thumbnail and no mask."""
    at: int | None = None
    seen: set[int] = set()
    while len(seen) < _MAX_PAGES:
        directory = read_directory(data, at)
        page = Page(data, directory)
        kind = page.number(254, 0)
        if not directory.entries:
            break
        if not kind & _REDUCED_OR_MASK and page.number(255, 1) != 2:
            return page
        at = directory.next_at
        if at == 0 or at in seen:
            raise UnsupportedMediaError("the TIFF file holds only thumbnails: raw photos are not read, send a JPEG")
        seen.add(at)
    raise BadRequestError("the TIFF image is truncated or damaged: its header cannot be read")


def _strips(page: Page, layout: Layout) -> tuple[Sequence[int], Sequence[int]]:
    """Where the strips or tiles are, and their lengths in bytes."""
    offset_tag, count_tag = (324, 325) if layout.tiled else (273, 279)
    offsets, counts = page.values(offset_tag, _MAX_STRIPS), page.values(count_tag, _MAX_STRIPS)
    needed = layout.strips_wh[0] * layout.strips_wh[1] * layout.planes
    offsets, counts = offsets[:needed], counts[:needed]
    if len(offsets) != needed:
        raise BadRequestError("the TIFF image is damaged: it has not as many strips or tiles as its size needs")
    if (
        layout.compression == NONE and layout.photometric != YCBCR
    ):  # the lengths are known, and some writers state others
        across, rows = layout.strips_wh[0], layout.tile_wh[1]
        tops = (index // across * rows for index in range(len(offsets) // layout.planes))
        whole = (rows if layout.tiled else min(rows, layout.size_wh[1] - top) for top in tops)
        counts = tuple(layout.tile_row_bytes * one for one in whole) * layout.planes
    if len(counts) != len(offsets) or sum(counts) > len(page.data) or _reach(offsets, counts) > len(page.data):
        raise BadRequestError("the TIFF image is truncated or damaged: its strips or tiles are not in the file")
    return offsets, counts


def _reach(offsets: Sequence[int], counts: Sequence[int]) -> int:
    return max(at + count for at, count in zip(offsets, counts, strict=True))


def _unpacked(page: Page, layout: Layout, offsets: Sequence[int], counts: Sequence[int]) -> Image.Image:
    """The bytes of one plane's rows, by libtiff: to it, they are an image of one byte a pixel.

    Returns:
        Of mode L, as many columns as a row has bytes.
    """
    each = 2 if layout.bits in (16, 32) else 1  # bytes of such a pixel: Pillow refuses images of very many pixels
    size = layout.row_bytes // each, layout.size_wh[1]
    shorts = {258: 8 * each, 259: layout.compression, 262: 1, 266: layout.fill_order, 277: 1}
    longs: dict[int, Sequence[int]] = {256: size[:1], 257: size[1:]}
    if layout.tiled:
        longs |= {322: [layout.tile_row_bytes // each], 323: layout.tile_wh[1:], 324: offsets, 325: counts}
    else:
        longs |= {273: offsets, 278: layout.tile_wh[1:], 279: counts}
    fields = {tag: (_SHORT, 1, struct.pack("<H", value)) for tag, value in shorts.items()}
    for tag, values in longs.items():
        fields[tag] = (_LONG, len(values), struct.pack(f"<{len(values)}I", *values))
    return _open(page, fields, size, "<")  # so that bytes stay in their order


def _open(page: Page, fields: Mapping[int, Field], size_wh: tuple[int, int], mark: str) -> Image.Image:
    """The image that the file would be with a directory of these fields alone."""
    at = len(page.data) + len(page.data) % 2
    blob_at, blob, directory = at + 2 + 12 * len(fields) + 4, b"", struct.pack(mark + "H", len(fields))
    for tag, (kind, count, value) in sorted(fields.items()):
        if len(value) > 4:
            value, blob = struct.pack(mark + "I", blob_at + len(blob)), blob + value + bytes(len(value) % 2)
        directory += struct.pack(mark + "HHI", tag, kind, count) + value.ljust(4, b"\0")
    head = (b"II*\0" if mark == "<" else b"MM\0*") + struct.pack(mark + "I", at)
    file = b"".join([head, page.data[8:], bytes(len(page.data) % 2), directory, bytes(4), blob])
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(file))  # Image.open would count bytes as pixels, and refuse many
    if image.size != size_wh:
        raise damaged("TIFF")
    image.load()
    return image


def _is_cut_at_multiples(layout: Layout, reduction: int) -> bool:
    """Whether each pixel of the reduced image is made of pixels of one strip or tile, and of none beyond the image."""
    heights = layout.size_wh[1], layout.tile_wh[1]
    widths = (layout.size_wh[0], layout.tile_wh[0]) if layout.tiled else ()
    return not any(side % reduction for side in (*heights, *widths))


def _from_jpegs(
    data: bytes, layout: Layout, offsets: Sequence[int], counts: Sequence[int], tables: bytes, reduction: int
) -> RGB:
    """The samples of an image whose strips or tiles are JPEG files that share tables, reduced while decoding.

    Returns:
        [ceil(height / reduction), ceil(width / reduction), samples].
    """
    width, height = layout.size_wh
    samples = np.zeros((-(-height // reduction), -(-width // reduction), layout.samples), np.uint8)
    # libjpeg would guess what the components mean
    colours = jpeg.meaning_of_components(layout.samples, layout.photometric == YCBCR)
    shared = colours + tables.removeprefix(b"\xff\xd8").removesuffix(b"\xff\xd9")
    tile_w, tile_h = layout.tile_wh
    for (left, top), at, count in zip(_places(layout), offsets, counts, strict=True):
        segments = jpeg.read_segments(data[at : at + count], shared)
        rows = tile_h if layout.tiled else min(tile_h, height - top)
        if (
            segments.size_wh[0] != tile_w
            or not rows <= segments.size_wh[1] <= tile_h
            or segments.components != layout.samples
        ):
            raise damaged("TIFF")
        part = jpeg.decode_components(segments, reduction)
        place = samples[top // reduction :, left // reduction :][: part.shape[0], : part.shape[1]]
        place[:] = part[: place.shape[0], : place.shape[1]]
    return samples


def _places(layout: Layout) -> Iterator[tuple[int, int]]:
    """Left and top of each strip or tile."""
    for top in range(0, layout.size_wh[1], layout.tile_wh[1]):
        for left in range(0, layout.size_wh[0], layout.tile_wh[0]):
            yield left, top
