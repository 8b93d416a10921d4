"""Finds where a digit can stand in a photo: on a sheet on a table, in a cell of a form, or anywhere.

Nothing is assumed of colours: paper, table and cell are smooth regions with a sharp edge or a line between them. A
region counts as a page where it is about convex, as sheets and cells are, and what is written on it does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

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
_MAX_REGIONS = 7
# Share of its convex hull that a page covers, its ink included.
_MIN_SOLIDITY = 0.88
# Share of a four-sided page that the region must cover for its sides to be the page's.
_MIN_QUAD = 0.9
# What is cut off at each side of a page, as a share: the edge, its blur, and a line that is not quite straight.
_INSET = 0.025


def pages(rgb: RGB) -> Iterator[RGB]:
    """The parts of an image that look like a page, the smallest first and the image itself last.

    Args:
        rgb: [h, w, 3].

    Yields:
        [h, w, 3]: a page whose four sides are known is straightened; of any other the bounding box.
    """
    scale = min(1.0, _SEARCH_SIDE / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    if min(small.shape[:2]) >= 32:
        for hull in _hulls(small):
            yield _cut_out(rgb, hull.astype(np.float32) / scale)
    yield rgb


def _hulls(small: RGB) -> list[npt.NDArray[np.int32]]:
    """The convex outlines of the regions that can be pages, [n, 1, 2] xy each, by ascending area."""
    smooth = cv2.GaussianBlur(small, (3, 3), 0)
    step = cv2.morphologyEx(smooth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)
    flat = (step < max(_MIN_STEP, _USUAL_STEPS * float(np.median(step)))).astype(np.uint8)
    whole = flat.size
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = [int(i) + 1 for i in np.argsort(areas)[::-1][:_MAX_REGIONS] if areas[i] > _MIN_AREA * whole / 2]
    masks = [(labels == label).astype(np.uint8) for label in large]
    bridge = np.ones((5, 5), np.uint8)
    unions = [cv2.morphologyEx(a | b, cv2.MORPH_CLOSE, bridge) for a, b in combinations(masks, 2)]
    found = []
    for mask in masks + unions:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        contour = max(contours, key=cv2.contourArea)
        hull = cv2.convexHull(contour)
        area = cv2.contourArea(hull)
        if _MIN_AREA * whole < area < _MAX_AREA * whole and cv2.contourArea(contour) > _MIN_SOLIDITY * area:
            found.append((area, hull))
    return [hull for _, hull in sorted(found, key=lambda one: one[0])]


def _cut_out(rgb: RGB, hull: npt.NDArray[np.float32]) -> RGB:
    """The page within an outline, without its edges; what lies beside a page of another form is covered."""
    quad = _four_corners(hull)
    if quad is None:
        left, top, width, height = cv2.boundingRect(hull)
        left, top = max(left, 0), max(top, 0)
        part = rgb[top : top + height, left : left + width]
        inside = np.zeros(part.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, (hull - (left, top)).round().astype(np.int32), 1)
        edge = 2 * int(_INSET * max(part.shape)) + 1
        inside = cv2.erode(inside, np.ones((edge, edge), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
        paper = np.median(part[inside > 0], axis=0) if inside.any() else 0
        return np.where(inside[..., np.newaxis] > 0, part, paper).astype(np.uint8)
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    width, height = int(max(sides[0], sides[2])), int(max(sides[1], sides[3]))
    x, y = max(2.0, _INSET * width), max(2.0, _INSET * height)
    flat = np.array([[-x, -y], [width + x, -y], [width + x, height + y], [-x, height + y]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, flat)
    return cv2.warpPerspective(rgb, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


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
