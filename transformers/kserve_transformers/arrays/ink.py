"""Converts an image of one digit to the form of MNIST: white ink on black, 20 pixels, centred by mass."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.sheet import Outline, Page, cut_out, outlines
from kserve_transformers.arrays.strokes import (
    MIN_CONTRAST,
    PAGE_SIDE,
    RGB,
    Cover,
    Digit,
    Grey,
    NoDigitError,
    find_digit,
    within,
)
from kserve_transformers.errors import UnprocessableError

SIDE = 28
_INK_SIDE = 20
# A digit needs no more pixels than this a side; an image that is one pixel high may have millions.
_MAX_SIDE = 1024
# Pixels of a digit's longer side below which more of the image's own pixels are taken.
_SMALL_DIGIT = 40
# A blank sheet takes up this share of a page at least; what is smaller may be a stamp or a box.
_MIN_BLANK = 0.2


def needed_scale(size_wh: tuple[int, int]) -> float:
    """The smallest scale at which a digit that fills a tenth of the image keeps its shape."""
    return 480 / max(size_wh)


def to_mnist(rgb: RGB) -> Grey:
    """Bring an image of a digit into MNIST's form.

    A 28x28 image of light ink on a dark ground is MNIST's own form and stays untouched. In anything else, the sheet is
    found first (on a table, or the whole image; in doubt a cell of a form), then the ink on it: what is narrow and
    darker, or lighter, than the paper around it. Beside a blank sheet there is no ink. The ink is cropped, scaled so
    that the longer side has 20 pixels, and centred by mass in 28x28, as MNIST was made.

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
    rgb = within(rgb, _MAX_SIDE)
    if rgb.shape[:2] == (SIDE, SIDE):
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        if np.ptp(grey) >= MIN_CONTRAST and _border(grey) <= 127:
            return grey.astype(np.uint8)
    found = outlines(rgb)
    # A cell's lines are known on its sheet; where they hide the digit, the cell itself is looked at.
    sheets = sorted((one for one in found if one.sheet), key=lambda one: one.cut_off)
    places = [*sheets, None, *(one for one in found if not one.sheet)]
    blank: list[Outline] = []
    doubtful: list[Digit] = []
    for place in places:
        if blank and place and place.cut_off and place.sheet:
            continue  # a part of the table
        page = cut_out(rgb, place) if place else Page(rgb, whole=True)
        if page is None:
            continue
        try:
            digit = find_digit(page)
        except NoDigitError:
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


def _nearer(page: Page, digit: Digit) -> Digit:
    """A digit that is small on its page, from more of the page's pixels where it has more."""
    if max(digit.cover.shape) >= _SMALL_DIGIT or max(page.rgb.shape) <= PAGE_SIDE:
        return digit
    height, width = page.rgb.shape[:2]
    margin = max(digit.share[0] * width, digit.share[1] * height) / 2
    left, top = (int(max(0, at * side - margin)) for at, side in zip(digit.at, (width, height), strict=True))
    right = int((digit.at[0] + digit.share[0]) * width + margin)
    bottom = int((digit.at[1] + digit.share[1]) * height + margin)
    try:
        nearer = find_digit(Page(page.rgb[top:bottom, left:right], whole=True))
    except NoDigitError:
        return digit
    return digit if nearer.reaches_out else nearer


def _seen_from(page: Page, digit: Digit, outline: Outline) -> npt.NDArray[np.float32]:
    """Another page's outline, [n, 2] xy in pixels of a digit's cover."""
    on_page = cv2.perspectiveTransform(outline.hull, page.matrix)[:, 0]
    height, width = page.rgb.shape[:2]
    size = np.array(digit.cover.shape[::-1])
    return np.asarray((on_page / (width, height) - digit.at) / digit.share * size, np.float32)


def _is_beside(page: Page, digit: Digit, blank: Outline) -> bool:
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


def _surrounds(page: Page, digit: Digit, outline: Outline) -> bool:
    """Whether a digit lies around another page on all sides: it may be its frame."""
    corners = _seen_from(page, digit, outline)
    return bool((corners >= 0).all() and (corners <= digit.cover.shape[::-1]).all())


def _border(grey: npt.NDArray[Any]) -> float:
    """The grey level of an image's border, which ink seldom reaches."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


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
