"""Finds the strokes of a digit on a page: what is narrow and darker, or lighter, than the paper around it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.sheet import Page, largest

Grey = npt.NDArray[np.uint8]
RGB = npt.NDArray[np.uint8]
Cover = npt.NDArray[np.float32]

# Pixels of a side below which nothing is smoothed or left out.
_SMALL = 56
# The longer side of a page when its ink is looked for.
PAGE_SIDE = 224
# Strokes are narrower than this share of the page.
_MAX_STROKE = 0.35
# Ink is what stands out from the paper by this share of what the strongest ink does.
_INK_SHARES = (0.25, 0.35, 0.5, 0.65)
# What is left of the contrast once a frame is taken away must be this share of it.
_MIN_REST = 0.06
# Ink stands out by this many grey levels at least, and by this multiple of the noise.
MIN_CONTRAST, _NOISES = 6.0, 6.0
# Pixels of a digit's longer side from which holes of a few pixels in its strokes are no loops.
_GRAINY = 60
# The longer side of a digit, as a share of the page's; anything smaller is a speck.
_MIN_EXTENT = 0.05
# Twice the distance from the middle of a stroke to its edge, as a share of the digit's longer side.
_MAX_WIDTH = 0.5
# What a pixel at a stroke's edge changes by, as a share of the stroke's own contrast; of a wide stroke, which
# may be a narrow one enlarged, the second number divided by its width in pixels is enough.
_MIN_EDGE, _MIN_EDGE_OF_WIDE = 0.2, 4.0
# The share of its outline along which a digit that reaches out of a page may lie at the page's edge; a shade's is more.
_MAX_CONTACT = 0.35
# The share of a rectangle's sides that a frame covers.
_MIN_FRAME = 0.9
_MIN_FRAME_SIDE = 24


class NoDigitError(Exception):
    """A page has no ink, or none that is a digit's."""


@dataclass(frozen=True)
class Digit:
    """What may be a digit on a page."""

    cover: Cover  # its ink, cropped, in 0..1
    at: tuple[float, float]  # left and top of it, as shares of the page's width and height
    share: tuple[float, float]  # of the page's width and height that it takes up
    stroke: float  # width of its widest stroke in pixels
    reaches_out: bool  # whether it goes on beyond the page


def within(rgb: RGB, side: int) -> RGB:
    """The image with sides of at most this: what is done to it grows with the square of the longer one."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    height, width = (max(1, round(length * scale)) for length in rgb.shape[:2])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _cover(smooth: RGB, light: bool, stroke: int, min_contrast: float) -> Cover:
    """How far each pixel stands out from the paper around it, [h, w] in 0..1.

    A morphological closing (of light ink an opening) wider than a stroke gives the paper below the ink, and leaves
    the edges of shadows as they are.
    """
    kernel = np.ones((stroke, stroke), np.uint8)
    ground = cv2.morphologyEx(smooth, cv2.MORPH_OPEN if light else cv2.MORPH_CLOSE, kernel)
    difference = cv2.absdiff(smooth, ground)
    strongest = largest(difference)
    levels = np.cumsum(np.bincount(strongest.ravel(), minlength=256))
    peak = int(np.searchsorted(levels, 0.999 * levels[-1]))
    if peak < min_contrast:
        raise NoDigitError
    # The channels differ in how well they show the ink: each counts as the strongest ink says.
    colour = difference[strongest >= peak].mean(axis=0)
    along: Cover = difference @ (colour / float(np.linalg.norm(colour))).astype(np.float32)
    along -= np.median(along[::3, ::3])
    noise = 1.5 * float(np.median(np.abs(along[::3, ::3])))
    if _peak(along) < max(min_contrast, _NOISES * noise):
        raise NoDigitError
    if not light:  # in the shade, ink stands out by as much less as there is less light
        along /= np.maximum(largest(ground), 32)
    cover: Cover = np.clip(along / _peak(along), 0, 1).astype(np.float32)
    return cover


def _peak(values: Cover) -> float:
    """What about a thousandth of the pixels exceed."""
    sample = values[::2, ::2] if min(values.shape) > _SMALL else values
    top = max(1, sample.size // 1000)
    return float(np.partition(sample, -top, axis=None)[-top])


def _ink_is_light(page: RGB) -> bool:
    """Whether what differs from the ground, which is the larger part around each point, is lighter than it."""
    small = cv2.cvtColor(within(page, 64), cv2.COLOR_RGB2GRAY)
    side = max(3, (min(small.shape) // 2) | 1)
    above = small.astype(np.float32) - cv2.medianBlur(small, side)
    return float((np.maximum(above, 0) ** 2).sum()) > float((np.minimum(above, 0) ** 2).sum())


def find_digit(page: Page) -> Digit:
    """The digit on a page.

    Raises:
        NoDigitError: there is none.
    """
    rgb = within(page.rgb, PAGE_SIDE)
    outside = _edges(rgb.shape[:2], page.inside)
    smooth = cv2.GaussianBlur(rgb, (3, 3), 0).astype(np.uint8) if min(rgb.shape[:2]) > _SMALL else rgb
    light = _ink_is_light(smooth)
    stroke = max(3, round(_MAX_STROKE * max(rgb.shape[:2])) | 1)
    min_contrast = MIN_CONTRAST if page.whole else 2 * MIN_CONTRAST
    for _ in range(2):
        digit = _strokes(_cover(smooth, light, stroke, min_contrast), outside, page.whole)
        narrower = max(9, round(3 * digit.stroke) | 1)
        if narrower > 0.7 * stroke:
            break
        stroke = narrower  # the narrower, the less of the shading is taken for ink
    return digit


def _edges(size_hw: tuple[int, ...], inside: Grey | None) -> npt.NDArray[np.bool_]:
    """The pixels at a page's edge and beyond, [h, w]: ink that is there reaches out of the page."""
    edges = np.ones(size_hw, bool)
    edges[1:-1, 1:-1] = False
    if inside is not None:
        shown = cv2.resize(inside, size_hw[::-1], interpolation=cv2.INTER_NEAREST)
        edges |= cv2.erode(shown, np.ones((5, 5), np.uint8)) == 0
    return edges


@dataclass(frozen=True)
class _Components:
    """The connected components of what stands out by a share of the strongest ink; number 0 is the ground."""

    labels: npt.NDArray[np.int32]
    stats: npt.NDArray[np.int32]
    mass: npt.NDArray[np.float64]
    inside: npt.NDArray[np.bool_]

    @property
    def best(self) -> int:
        """The heaviest that lies within the page, or of all where that is next to nothing."""
        heaviest = int(np.argmax(np.where(self.inside, self.mass, 0)))
        enough = self.inside[heaviest] and self.mass[heaviest] >= 0.1 * self.mass.max()
        return heaviest if enough else int(np.argmax(self.mass))


def _components(cover: Cover, share: float, edges: npt.NDArray[np.bool_]) -> _Components:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((cover >= share).astype(np.uint8), connectivity=8)
    if count < 2:
        raise NoDigitError
    mass = np.bincount(labels.ravel(), cover.ravel(), count)
    mass[0] = 0
    inside = np.ones(count, bool)
    inside[np.unique(labels[edges])] = inside[0] = False
    return _Components(labels.astype(np.int32), stats.astype(np.int32), mass.astype(np.float64), inside)


def _strokes(cover: Cover, edges: npt.NDArray[np.bool_], whole: bool) -> Digit:
    """The digit in the ink of a page.

    Raises:
        NoDigitError: what stands out is no digit.
    """
    small = min(cover.shape) <= _SMALL
    while True:
        for share in _INK_SHARES:  # lines that are lighter than the ink may tie it to the edge
            found = _components(cover, share, edges)
            if found.inside[found.best]:
                break
        else:
            found = _components(cover, _INK_SHARES[0], edges)
        labels, stats, best = found.labels, found.stats, found.best
        own = (labels == best).astype(np.uint8)
        frame = None if small or not found.inside[best] else _frame(own)
        if frame is None:
            break
        cover = np.where(frame > 0, 0, cover).astype(np.float32)
        rest = _peak(cover)
        if rest < _MIN_REST:
            raise NoDigitError
        cover = np.clip(cover / rest, 0, 1)
    extent = max(stats[best, cv2.CC_STAT_WIDTH], stats[best, cv2.CC_STAT_HEIGHT])
    if extent < max(4, (_MIN_EXTENT if whole else 3 * _MIN_EXTENT) * max(cover.shape)):
        raise NoDigitError
    outline = cv2.arcLength(cv2.convexHull(cv2.findNonZero(own)), True)
    if not found.inside[best] and np.count_nonzero(own & edges) > _MAX_CONTACT * outline:
        raise NoDigitError
    solid = np.pad(own, 4)
    if extent > _GRAINY:  # a pencil leaves the paper's grain bare
        solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)).astype(np.uint8)
    stroke = 2 * float(cv2.distanceTransform(solid, cv2.DIST_L2, 3).max())
    if not small and (stroke > _MAX_WIDTH * extent + 2 or not _has_edges(cover, own, stroke)):
        raise NoDigitError
    near = (_gaps(stats, best) <= 0.25 * extent) & ~_around(stats, best)
    kept = near & (found.mass >= 0.04 * found.mass[best]) & (found.inside | ~found.inside[best])
    kept[best], kept[0] = True, False
    only = np.where(kept[labels], cover, 0).astype(np.float32)
    rows, columns = np.flatnonzero(only.max(axis=1)), np.flatnonzero(only.max(axis=0))
    cropped = only[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    at_xy = (columns[0] / cover.shape[1], rows[0] / cover.shape[0])
    share_wh = (cropped.shape[1] / cover.shape[1], cropped.shape[0] / cover.shape[0])
    return Digit(cropped, at_xy, share_wh, stroke, not found.inside[best])


def _has_edges(cover: Cover, own: Grey, stroke: float) -> bool:
    """Whether ink ends at a line, as strokes do and shades do not."""
    outline = cv2.morphologyEx(own, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    steps = cv2.morphologyEx(cover, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))[outline]
    least = min(_MIN_EDGE, _MIN_EDGE_OF_WIDE / stroke)
    return float(np.median(steps)) > least * float(np.percentile(cover[own > 0], 90))


def _frame(own: Grey) -> Grey | None:
    """Where the ink of a component runs around along the sides of a rectangle; None where it is no frame."""
    points = cv2.findNonZero(own)
    box = cv2.minAreaRect(points)
    if min(box[1]) < _MIN_FRAME_SIDE or own.sum() > 0.6 * box[1][0] * box[1][1]:
        return None
    band = max(2, round(0.05 * min(box[1])))
    corners = cv2.boxPoints(box).round().astype(np.int32)
    around = cv2.polylines(np.zeros_like(own), [corners], True, 1, 1)
    thick = cv2.dilate(own, np.ones((2 * band + 1, 2 * band + 1), np.uint8))
    if float(thick[around > 0].mean()) < _MIN_FRAME:
        return None
    return cv2.polylines(np.zeros_like(own), [corners], True, 1, 2 * band + 1).astype(np.uint8)


def _around(stats: npt.NDArray[np.int32], of: int) -> npt.NDArray[np.bool_]:
    """Which components lie around one of them on all sides, as a cell's frame does around the digit."""
    left, top, wide, high = (stats[:, i] for i in range(4))
    horizontally = (left < left[of]) & (left + wide > left[of] + wide[of])
    return np.asarray(horizontally & (top < top[of]) & (top + high > top[of] + high[of]))


def _gaps(stats: npt.NDArray[np.int32], of: int) -> npt.NDArray[np.float64]:
    """The distance between each component's bounding box and one of them, in pixels."""
    left, top, wide, high = (stats[:, i].astype(float) for i in range(4))
    x = np.maximum(left - (left[of] + wide[of]), left[of] - (left + wide)).clip(0)
    y = np.maximum(top - (top[of] + high[of]), top[of] - (top + high)).clip(0)
    return np.asarray(np.hypot(x, y))
