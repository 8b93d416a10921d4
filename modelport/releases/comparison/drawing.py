"""Draws a sample with two answers: the old release's or right one in blue, the new release's or given one in orange."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from kserve_transformers.judging.answers import Answer
from modelport.releases.comparison.samples import Sample

OLD_BGR, NEW_BGR, WHITE = (210, 120, 20), (0, 120, 255), (255, 255, 255)
_FONT, _FONT_SCALE, _LINE_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 20
_MIN_SIDE, _MAX_SIDE = 360, 1000
_PLOT_WH = (600, 240)
_TOP = 3

BGR = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]


def draw(sample: Sample, answers: Sequence[tuple[str, Answer | None]]) -> BGR:
    """A sample with the boxes of two answers, and both answers' labels below; uint8 [H, W, 3].

    Args:
        sample: an image or a window.
        answers: the old or right one and the new or given one, each with its name; None where there is none.
    """
    content = sample.content
    bgr, scale = _image(content) if isinstance(content, bytes) else (_plot(content), 1.0)
    named = list(zip(answers, (OLD_BGR, NEW_BGR), strict=True))
    for (_, answer), colour in named:
        _draw_boxes(bgr, answer, scale, colour)
    canvas = np.full((bgr.shape[0] + 2 * _LINE_PX + 8, bgr.shape[1], 3), 255, np.uint8)
    canvas[: bgr.shape[0]] = bgr
    for line, ((name, answer), colour) in enumerate(named, start=1):
        place = (6, bgr.shape[0] + line * _LINE_PX)
        text = caption(answer) if answer else "no answer"
        cv2.putText(canvas, f"{name}: {text}", place, _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)
    return canvas


def caption(answer: Answer) -> str:
    """The best labels with their scores."""
    best = zip(answer.labels[:_TOP], answer.scores[:_TOP], strict=True)
    more = len(answer.labels) - _TOP
    text = ", ".join(f"{label} {score:.2f}" for label, score in best) or "nothing"
    return text + f" and {more} more" * (answer.boxes is not None and more > 0)


def _image(content: bytes) -> tuple[BGR, float]:
    """The image, scaled so that its longer side is within _MIN_SIDE and _MAX_SIDE, and the scale."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if bgr is None:  # no image, or a format that OpenCV does not read, but the services do
        return np.full((_MIN_SIDE, _MIN_SIDE, 3), 230, np.uint8), 1.0
    longest = max(bgr.shape[:2])
    scale = min(max(longest, _MIN_SIDE), _MAX_SIDE) / longest
    kind = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=kind), np.uint8), scale


def _plot(window: npt.NDArray[np.float32]) -> BGR:
    width, height = _PLOT_WH
    canvas = np.full((height, width, 3), 255, np.uint8)
    span = float(np.ptp(window)) or 1.0
    x = np.linspace(10, width - 10, len(window))
    y = 10 + (height - 20) * (1 - (window - window.min()) / span)
    points = np.stack([x, y], axis=1).round().astype(np.int32)
    return np.asarray(cv2.polylines(canvas, [points], False, (60, 60, 60), 1, cv2.LINE_AA), np.uint8)


def _draw_boxes(bgr: BGR, answer: Answer | None, scale: float, colour: Colour) -> None:
    """Draw on the image itself; labels of the new release at the lower edge, so that they do not cover the others."""
    if answer is None or answer.boxes is None:
        return
    for box, label, score in zip(answer.boxes, answer.labels, answer.scores, strict=True):
        left, top, right, bottom = (round(float(side) * scale) for side in box)
        cv2.rectangle(bgr, (left, top), (right, bottom), colour, 2)
        text = f"{label} {score:.2f}"
        (text_w, text_h), below = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
        base = max(top, text_h + below) if colour == OLD_BGR else min(bottom + text_h + below, bgr.shape[0])
        cv2.rectangle(bgr, (left, base - text_h - below), (left + text_w, base), colour, cv2.FILLED)
        cv2.putText(bgr, text, (left, base - below // 2), _FONT, _FONT_SCALE, WHITE, 1, cv2.LINE_AA)
