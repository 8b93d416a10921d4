"""Converts an image of one digit to the form of MNIST: white ink on black, 20 pixels, centred by mass."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]

SIDE = 28
_INK_SIDE = 20
# Ink is what stands out from the paper by this share of the image's own contrast.
_INK_SHARE = 0.35
# A digit needs no more pixels than this a side; an image that is one pixel high may have millions.
_MAX_SIDE = 1024
# Below this contrast (grey levels) there is no ink, only noise.
_MIN_CONTRAST = 24


def needed_scale(size_wh: tuple[int, int]) -> float:
    """The smallest scale at which a digit that fills a tenth of the image keeps its shape."""
    return 480 / max(size_wh)


def to_mnist(rgb: npt.NDArray[np.uint8]) -> Grey:
    """Bring an image of a digit into MNIST's form.

    A 28x28 image of light ink on a dark ground is MNIST's own form and stays untouched. Anything else is
    inverted where the ground is light, cropped to its ink, scaled so that the longer side has 20 pixels, and
    centred by mass in 28x28, as MNIST was made.

    Args:
        rgb: [h, w, 3], any size.

    Returns:
        [28, 28], 0 is ground and 255 is ink.

    Source:
        http://yann.lecun.com/exdb/mnist/, "the images were centered in a 28x28 image by computing the center
        of mass of the pixels".
    """
    grey = _bounded(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8))
    light_ground = _ground(grey) > 127
    if grey.shape == (SIDE, SIDE) and not light_ground:
        return grey
    ink = _ink(255 - grey if light_ground else grey)
    rows, columns = np.flatnonzero(ink.max(axis=1)), np.flatnonzero(ink.max(axis=0))
    if rows.size == 0:
        return np.zeros((SIDE, SIDE), np.uint8)
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = _INK_SIDE / max(cropped.shape)
    size_wh = (max(1, round(cropped.shape[1] * scale)), max(1, round(cropped.shape[0] * scale)))
    small = cv2.resize(cropped, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return _centred_by_mass(small.astype(np.uint8))


def _bounded(grey: Grey) -> Grey:
    """The image with sides of at most `_MAX_SIDE`: what is done to it grows with the square of the longer one."""
    scale = _MAX_SIDE / max(grey.shape)
    if scale >= 1:
        return grey
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _ground(grey: npt.NDArray[Any]) -> float:
    """The ground's grey level: the median of the image's border, which ink seldom reaches."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return float(np.median(border))


def _ink(grey: Grey) -> Grey:
    """Light ink with the ground, and the shading of a photographed page, taken away; 0 where there is no ink."""
    smooth = cv2.GaussianBlur(grey, (0, 0), max(grey.shape) / 400) if max(grey.shape) > 200 else grey
    lifted = smooth.astype(np.float32)
    if max(grey.shape) > 2 * SIDE:
        small = cv2.resize(smooth, (64, 64), interpolation=cv2.INTER_AREA)
        ground = cv2.GaussianBlur(cv2.erode(small, np.ones((15, 15), np.uint8)), (0, 0), 5)
        lifted -= cv2.resize(ground, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    else:
        lifted -= _ground(smooth)
    contrast = float(lifted.max())
    if contrast < _MIN_CONTRAST:
        return np.zeros_like(grey)
    share = lifted / contrast
    return np.where(share >= _INK_SHARE, np.clip(share * 255, 0, 255), 0).astype(np.uint8)


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
