"""Converts an image of one digit to the form of MNIST: white ink on black, 20 pixels, centred by mass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.sheet import Outline, Page, cut_out, largest, outlines
from kserve_transformers.errors import UnprocessableError

Grey = npt.NDArray[np.uint8]
RGB = npt.NDArray[np.uint8]
Cover = npt.NDArray[np.float32]

SIDE = 28
_INK_SIDE = 20
# A digit needs no more pixels than this a side; an image that is one pixel high may have millions.
_MAX_SIDE = 1024
# The longer side of a page when its ink is looked for.
_PAGE_SIDE = 224
# Strokes are narrower than this share of the page.
_MAX_STROKE = 0.35
# Ink is what stands out from the paper by this share of what the strongest ink does.
_INK_SHARES = (0.25, 0.35, 0.5, 0.65)
# What is left of the contrast once a frame is taken away must be this share of it.
_MIN_REST = 0.06
# Ink stands out by this many grey levels at least, and by this multiple of the noise.
_MIN_CONTRAST, _NOISES = 6.0, 6.0
# Pixels of a digit's longer side below which more of the image's own pixels are taken.
_SMALL_DIGIT = 40
# Pixels of a digit's longer side from which holes of a few pixels in its strokes are no loops.
_GRAINY = 60
# The longer side of a digit, as a share of the page's; anything smaller is a speck.
_MIN_EXTENT = 0.05
# Twice the distance from the middle of a stroke to its edge, as a share of the digit's longer side.
_MAX_WIDTH = 0.5
# What a pixel at a stroke's edge changes by, as a share of the stroke's own contrast; from the ground to the middle of
# a wide stroke, which may be a small one enlarged, it takes at most this many such steps.
_MIN_EDGE, _MIN_EDGE_OF_WIDE = 0.2, 4.0
# The share of its outline along which a digit that reaches out of a page may lie at the page's edge; a shade's is more.
_MAX_CONTACT = 0.35
# The share of a rectangle's sides that a frame covers.
_MIN_FRAME = 0.9
_MIN_FRAME_SIDE = 24
# A blank sheet takes up this share of a page at least; what is smaller may be a stamp or a box.
_MIN_BLANK = 0.2


class _NoDigitError(Exception):
    """A page has no ink, or none that is a digit's."""


@dataclass(frozen=True)
class _Digit:
    """What may be a digit on a page.

    Attributes:
        cover: its ink, cropped, in 0..1.
        at: left and top of it, as shares of the page's width and height.
        share: of the page's width and height that it takes up.
        stroke: width of its widest stroke in pixels.
        reaches_out: whether it goes on beyond the page.
    """

    cover: Cover
    at: tuple[float, float]
    share: tuple[float, float]
    stroke: float
    reaches_out: bool


def needed_scale(size_wh: tuple[int, int]) -> float:
    """The smallest scale at which a digit that fills a tenth of the image keeps its shape."""
    return 480 / max(size_wh)


def to_mnist(rgb: RGB) -> Grey:
    """Bring an image of a digit into MNIST's form.

    A 28x28 image of light ink on a dark ground is MNIST's own form and stays untouched. In anything else, the page is
    found first (a sheet on a table, a cell of a form, or the whole image), then the ink on it: what is narrow and
    darker, or lighter, than the paper around it. The ink is cropped, scaled so that the longer side has 20 pixels,
    and centred by mass in 28x28, as MNIST was made.

    Args:
        rgb: [h, w, 3], any size.

    Returns:
        [28, 28], 0 is ground and 255 is ink.

    Raises:
        UnprocessableError: there is no ink.

    Source:
        http://yann.lecun.com/exdb/mnist/, "the images were centered in a 28x28 image by computing the center
        of mass of the pixels".
    """
    rgb = _within(rgb, _MAX_SIDE)
    if rgb.shape[:2] == (SIDE, SIDE):
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        if np.ptp(grey) >= _MIN_CONTRAST and _border(grey) <= 127:
            return grey.astype(np.uint8)
    found = outlines(rgb)
    # A cell's lines are known on its sheet; where they hide the digit, the cell itself is looked at.
    sheets = sorted((one for one in found if one.sheet), key=lambda one: one.cut_off)
    places = [*sheets, None, *(one for one in found if not one.sheet)]
    blank: list[Outline] = []
    doubtful: list[_Digit] = []
    for place in places:
        if blank and place and place.cut_off and place.sheet:
            continue  # a part of the table
        page = cut_out(rgb, place) if place else Page(rgb, whole=True)
        if page is None:
            continue
        try:
            digit = _digit(page)
        except _NoDigitError:
            if place and place.sheet and cv2.contourArea(place.hull) > _MIN_BLANK * rgb.shape[0] * rgb.shape[1]:
                blank.append(place)
            continue
        if any(_is_beside(page, digit, sheet) for sheet in blank):
            continue
        if digit.reaches_out or any(_surrounds(page, digit, other) for other in found if other is not place):
            doubtful.append(digit)
            continue
        return _normalised(_nearer(page, digit).cover)
    if doubtful:
        return _normalised(min(doubtful, key=lambda one: one.reaches_out).cover)
    raise UnprocessableError(
        "no digit in the image: nothing stands out from its ground; write darker, or take the photo from nearer"
    )


def _nearer(page: Page, digit: _Digit) -> _Digit:
    """A digit that is small on its page, from more of the page's pixels where it has more."""
    if max(digit.cover.shape) >= _SMALL_DIGIT or max(page.rgb.shape) <= _PAGE_SIDE:
        return digit
    height, width = page.rgb.shape[:2]
    margin = max(digit.share[0] * width, digit.share[1] * height) / 2
    left, top = (int(max(0, at * side - margin)) for at, side in zip(digit.at, (width, height), strict=True))
    right = int((digit.at[0] + digit.share[0]) * width + margin)
    bottom = int((digit.at[1] + digit.share[1]) * height + margin)
    try:
        nearer = _digit(Page(page.rgb[top:bottom, left:right], whole=True))
    except _NoDigitError:
        return digit
    return digit if nearer.reaches_out else nearer


def _seen_from(page: Page, digit: _Digit, outline: Outline) -> npt.NDArray[np.float32]:
    """Another page's outline, [n, 2] xy in pixels of a digit's cover."""
    on_page = cv2.perspectiveTransform(outline.hull, page.matrix)[:, 0]
    height, width = page.rgb.shape[:2]
    size = np.array(digit.cover.shape[::-1])
    return np.asarray((on_page / (width, height) - digit.at) / digit.share * size, np.float32)


def _is_beside(page: Page, digit: _Digit, blank: Outline) -> bool:
    """Whether a page holds a blank sheet, so that what stands out from it is the sheet's edge or the table's grain.

    A thick stroke may be taken for a sheet too: that is one that the digit's ink covers.
    """
    sheet = _seen_from(page, digit, blank)
    area = cv2.contourArea(sheet)
    height, width = digit.cover.shape
    left, top = -np.array(digit.at) / digit.share * (width, height)
    right, bottom = np.array([left, top]) + np.array([width, height]) / digit.share
    around = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    common, _ = cv2.intersectConvexConvex(around, sheet)
    if common < max(0.9 * area, _MIN_BLANK * cv2.contourArea(around)):
        return False
    mask = cv2.fillConvexPoly(np.zeros(digit.cover.shape, np.uint8), sheet.round().astype(np.int32), 1)
    return float(digit.cover[mask > 0].sum()) < 0.5 * area


def _surrounds(page: Page, digit: _Digit, outline: Outline) -> bool:
    """Whether a digit lies around another page on all sides: it may be its frame."""
    corners = _seen_from(page, digit, outline)
    return bool((corners >= 0).all() and (corners <= digit.cover.shape[::-1]).all())


def _within(rgb: RGB, side: int) -> RGB:
    """The image with sides of at most this: what is done to it grows with the square of the longer one."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    height, width = (max(1, round(length * scale)) for length in rgb.shape[:2])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _border(grey: npt.NDArray[Any]) -> float:
    """The grey level of an image's border, which ink seldom reaches."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


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
        raise _NoDigitError
    # The channels differ in how well they show the ink: each counts as the strongest ink says.
    colour = difference[strongest >= peak].mean(axis=0)
    along: Cover = difference @ (colour / float(np.linalg.norm(colour))).astype(np.float32)
    along -= np.median(along[::3, ::3])
    noise = 1.5 * float(np.median(np.abs(along[::3, ::3])))
    if _peak(along) < max(min_contrast, _NOISES * noise):
        raise _NoDigitError
    if not light:  # in the shade, ink stands out by as much less as there is less light
        along /= np.maximum(largest(ground), 32)
    cover: Cover = np.clip(along / _peak(along), 0, 1).astype(np.float32)
    return cover


def _peak(values: Cover) -> float:
    """What about a thousandth of the pixels exceed."""
    sample = values[::2, ::2] if min(values.shape) > 2 * SIDE else values
    top = max(1, sample.size // 1000)
    return float(np.partition(sample, -top, axis=None)[-top])


def _ink_is_light(page: RGB) -> bool:
    """Whether what differs from the ground, which is the larger part around each point, is lighter than it."""
    small = cv2.cvtColor(_within(page, 64), cv2.COLOR_RGB2GRAY)
    side = max(3, (min(small.shape) // 2) | 1)
    above = small.astype(np.float32) - cv2.medianBlur(small, side)
    return float((np.maximum(above, 0) ** 2).sum()) > float((np.minimum(above, 0) ** 2).sum())


def _digit(page: Page) -> _Digit:
    """The digit on a page.

    Raises:
        _NoDigitError: there is none.
    """
    rgb = _within(page.rgb, _PAGE_SIDE)
    outside = _edges(rgb.shape[:2], page.inside)
    smooth = cv2.GaussianBlur(rgb, (3, 3), 0).astype(np.uint8) if min(rgb.shape[:2]) > 2 * SIDE else rgb
    light = _ink_is_light(smooth)
    stroke = max(3, round(_MAX_STROKE * max(rgb.shape[:2])) | 1)
    min_contrast = _MIN_CONTRAST if page.whole else 2 * _MIN_CONTRAST
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
        raise _NoDigitError
    mass = np.bincount(labels.ravel(), cover.ravel(), count)
    mass[0] = 0
    inside = np.ones(count, bool)
    inside[np.unique(labels[edges])] = inside[0] = False
    return _Components(labels.astype(np.int32), stats.astype(np.int32), mass.astype(np.float64), inside)


def _strokes(cover: Cover, edges: npt.NDArray[np.bool_], whole: bool) -> _Digit:
    """The digit in the ink of a page.

    Raises:
        _NoDigitError: what stands out is no digit.
    """
    small = min(cover.shape) <= 2 * SIDE
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
            raise _NoDigitError
        cover = np.clip(cover / rest, 0, 1)
    extent = max(stats[best, cv2.CC_STAT_WIDTH], stats[best, cv2.CC_STAT_HEIGHT])
    if extent < max(4, (_MIN_EXTENT if whole else 3 * _MIN_EXTENT) * max(cover.shape)):
        raise _NoDigitError
    outline = cv2.arcLength(cv2.convexHull(cv2.findNonZero(own)), True)
    if not found.inside[best] and np.count_nonzero(own & edges) > _MAX_CONTACT * outline:
        raise _NoDigitError
    solid = np.pad(own, 4)
    if extent > _GRAINY:  # a pencil leaves the paper's grain bare
        solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)).astype(np.uint8)
    stroke = 2 * float(cv2.distanceTransform(solid, cv2.DIST_L2, 3).max())
    if not small and (stroke > _MAX_WIDTH * extent + 2 or not _has_edges(cover, own, stroke)):
        raise _NoDigitError
    near = (_gaps(stats, best) <= 0.25 * extent) & ~_around(stats, best)
    kept = near & (found.mass >= 0.04 * found.mass[best]) & (found.inside | ~found.inside[best])
    kept[best], kept[0] = True, False
    only = np.where(kept[labels], cover, 0).astype(np.float32)
    rows, columns = np.flatnonzero(only.max(axis=1)), np.flatnonzero(only.max(axis=0))
    cropped = only[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    at_xy = (columns[0] / cover.shape[1], rows[0] / cover.shape[0])
    share_wh = (cropped.shape[1] / cover.shape[1], cropped.shape[0] / cover.shape[0])
    return _Digit(cropped, at_xy, share_wh, stroke, not found.inside[best])


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


def _normalised(cover: Cover) -> Grey:
    scale = _INK_SIDE / max(cover.shape)
    size_wh = (max(1, round(cover.shape[1] * scale)), max(1, round(cover.shape[0] * scale)))
    small = cv2.resize(cover * 255, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return _centred_by_mass(small.astype(np.uint8))


def _centred_by_mass(ink: Grey) -> Grey:
    height, width = ink.shape
    mass = ink.astype(np.float64)
    y = float((mass.sum(axis=1) @ np.arange(height)) / mass.sum())
    x = float((mass.sum(axis=0) @ np.arange(width)) / mass.sum())
    top = int(np.clip(round((SIDE - 1) / 2 - y), 0, SIDE - height))
    left = int(np.clip(round((SIDE - 1) / 2 - x), 0, SIDE - width))
    frame = np.zeros((SIDE, SIDE), np.uint8)
    frame[top : top + height, left : left + width] = ink
    return frame
