"""Finds where a digit can stand in a photo: on a sheet on a table, in a cell of a form, or anywhere.

Nothing is assumed of colours: paper, table and cell are smooth regions with a sharp edge or a line between them. A
region counts as a page where it is about convex, as sheets and cells are, and what is written on it does not matter.
"""

from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

# The longer side of the image in which regions are looked for: a line that is a five-hundredth of the image remains.
_SEARCH_SIDE = 320
# A step between neighbouring pixels is an edge from this many grey levels, or from this multiple of the usual step.
_MIN_STEP, _USUAL_STEPS = 9.0, 3.5
# Shares of the image: smaller regions are no pages, and larger ones are the image.
_MIN_AREA, _MAX_AREA = 0.008, 0.93
_MAX_REGIONS = 6
_MIN_HALF = 0.02
_MAX_PAGES = 8
# Pixels of the image: in a smaller one no digit can be read.
_MIN_SIDE = 12
# Grey levels between a sheet and the table.
_MIN_DIFFERENCE = 25
# How much of the light a shadow leaves at least.
_DEEPEST_SHADE = 0.45
# Pixels by which two outlines of the same page differ at most.
_SAME = 4
# Share of its convex hull that a page covers, its ink included.
_MIN_SOLIDITY = 0.88
# The same where the hull has four corners: a digit or a frame that touches the edge cuts a notch.
_MIN_NOTCHED = 0.4
# Share of a four-sided page that the region must cover for its sides to be the page's.
_MIN_QUAD = 0.92
# What is cut off at each side of a page, as a share: the edge, its blur, and a line that is not quite straight.
_INSET = 0.015


@dataclass(frozen=True)
class Page:
    """A part of an image that a digit can stand on."""

    rgb: RGB  # [h, w, 3]; upright, where its four sides are known
    # [3, 3], takes the image's xy to those of `rgb`
    matrix: npt.NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    # [h, w], 0 where `rgb` shows what lies beside the page; None where it shows nothing else
    inside: npt.NDArray[np.uint8] | None = None
    whole: bool = False  # whether it is the image itself, so that ink may reach its edges


@dataclass(frozen=True)
class Outline:
    """Where a page may lie."""

    hull: npt.NDArray[np.float32]  # its convex outline, [n, 1, 2] xy in pixels of the image
    sheet: bool  # whether it has another colour than what is around it, as a sheet on a table has and a cell has not
    cut_off: bool  # whether it goes on beyond the image


def outlines(rgb: RGB) -> list[Outline]:
    """What looks like a page in an image, [h, w, 3]; the smallest first."""
    scale = min(1.0, _SEARCH_SIDE / max(rgb.shape[:2]))
    if min(rgb.shape[:2]) * scale < 2 * _MIN_SIDE:
        return []
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    found = []
    for hull in _hulls(small.astype(np.uint8)):
        cut_off = _touches_border(hull, small.shape)
        found.append(Outline(hull.astype(np.float32) / scale, _is_sheet(small[::2, ::2], hull // 2, cut_off), cut_off))
    return found


def _hulls(small: RGB) -> list[npt.NDArray[np.int32]]:
    """The convex outlines of the regions that can be pages, [n, 1, 2] xy each, by ascending area."""
    smooth = cv2.GaussianBlur(small, (3, 3), 0)
    step = largest(cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    flat = (step < max(_MIN_STEP, _USUAL_STEPS * float(np.median(step[::3, ::3])))).astype(np.uint8)
    whole = flat.size
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    regions = [int(i) + 1 for i in np.argsort(areas)[::-1][:_MAX_REGIONS] if areas[i] > _MIN_AREA * whole / 2]
    masks = {label: (labels == label).astype(np.uint8) for label in regions}
    # A shadow with a sharp edge divides a sheet.
    halves = [masks[label] for label in regions if areas[label - 1] > _MIN_HALF * whole]
    bridge = np.ones((5, 5), np.uint8)
    unions = (cv2.morphologyEx(a | b, cv2.MORPH_CLOSE, bridge) for a, b in combinations(halves, 2))
    found: list[tuple[float, npt.NDArray[np.int32]]] = []
    for mask in chain(masks.values(), unions):
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        contour = max(contours, key=cv2.contourArea)
        hull = cv2.convexHull(contour)
        area = cv2.contourArea(hull)
        box = np.array(cv2.boundingRect(hull))
        if not _MIN_AREA * whole < area < _MAX_AREA * whole:
            continue
        if any(np.abs(box - cv2.boundingRect(other)).max() <= _SAME for _, other in found):
            continue
        solidity = cv2.contourArea(contour) / area
        notched = solidity > _MIN_NOTCHED and not _touches_border(hull, small.shape)
        if solidity > _MIN_SOLIDITY or (notched and _four_corners(hull.astype(np.float32)) is not None):
            found.append((area, np.asarray(hull, np.int32)))
    return [hull for _, hull in sorted(found, key=lambda one: one[0])][:_MAX_PAGES]


def largest(rgb: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The largest of each pixel's channels, [h, w]."""
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def _touches_border(hull: npt.NDArray[Any], shape: tuple[int, ...]) -> bool:
    left, top, width, height = cv2.boundingRect(hull)
    return left <= 3 or top <= 3 or left + width >= shape[1] - 3 or top + height >= shape[0] - 3


def _is_sheet(small: npt.NDArray[Any], hull: npt.NDArray[np.int32], cut_off: bool) -> bool:
    """Whether a region has another colour than what is around it, and is not just the sunny or shady part of it."""
    inside = cv2.fillConvexPoly(np.zeros(small.shape[:2], np.uint8), hull, 1)
    near, far = (cv2.dilate(inside, np.ones((side, side), np.uint8)) for side in (11, 17))
    around = far > near
    if not around.any():
        return False
    own, other = np.median(small[inside > 0][::3], axis=0), np.median(small[around], axis=0)
    if float(np.abs(own - other).max()) <= _MIN_DIFFERENCE:
        return False
    ratios = (own + 8) / (other + 8)
    shade = 1 / _DEEPEST_SHADE > ratios.max() > ratios.min() > _DEEPEST_SHADE and ratios.max() < 1.15 * ratios.min()
    return not (shade and cut_off)


def cut_out(rgb: RGB, outline: Outline) -> Page | None:
    """The page within an outline, without its edges; None where it is too small.

    A page without four sides is one that the image's border cuts off; otherwise nothing is cut out.
    """
    hull = outline.hull
    quad = _four_corners(hull)
    if quad is None:
        left, top, width, height = cv2.boundingRect(hull)
        if not _touches_border(hull, rgb.shape):
            return None
        left, top = max(left, 0), max(top, 0)
        part = rgb[top : top + height, left : left + width]
        inside = np.zeros(part.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, (hull - (left, top)).round().astype(np.int32), 1)
        edge = 2 * max(2, int(_INSET * max(part.shape))) + 1
        kernel = np.ones((edge, edge), np.uint8)
        inside = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1).astype(np.uint8)
        paper = np.median(part[inside > 0], axis=0) if inside.any() else 0
        shown = np.where(inside[..., np.newaxis] > 0, part, paper).astype(np.uint8)
        matrix = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
        return Page(shown, matrix, inside) if min(part.shape[:2]) >= _MIN_SIDE else None
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    width, height = int(max(sides[0], sides[2])), int(max(sides[1], sides[3]))
    if min(width, height) < _MIN_SIDE:
        return None
    x, y = max(2.0, _INSET * width), max(2.0, _INSET * height)
    flat = np.array([[-x, -y], [width + x, -y], [width + x, height + y], [-x, height + y]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, flat)
    page = cv2.warpPerspective(rgb, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return Page(page.astype(np.uint8), np.asarray(matrix, np.float64))


def _four_corners(hull: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """The corners of a four-sided outline, [4, 2] xy: top left, top right, bottom right, bottom left."""
    around = cv2.arcLength(hull, True)
    for tolerance in (0.02, 0.04, 0.06, 0.08):
        quad = cv2.approxPolyDP(hull, tolerance * around, True)
        if len(quad) == 4:
            common, _ = cv2.intersectConvexConvex(hull, quad)
            if common < _MIN_QUAD * max(cv2.contourArea(hull), cv2.contourArea(quad)):
                return None
            corners = quad[:, 0].astype(np.float32)
            middle = corners - corners.mean(axis=0)
            ordered = corners[np.argsort(np.arctan2(middle[:, 1], middle[:, 0]))]
            first = int(np.argmin(ordered.sum(axis=1)))
            return np.roll(ordered, -first, axis=0)
    return None
