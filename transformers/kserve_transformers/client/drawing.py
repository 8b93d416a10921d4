"""Answers drawn over their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_GREEN, _BLACK = (90, 220, 60), (0, 0, 0)
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.55


def draw_detections(bgr: npt.NDArray[np.uint8], detections: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.uint8]:
    """A copy of an image with its detections drawn over it.

    Args:
        bgr: [h, w, 3].
        detections: as the detector answers them: label, confidence, bbox [x, y, width, height] in pixels.
    """
    drawn = bgr.copy()
    for detection in detections:
        x, y, width, height = detection["bbox"]
        cv2.rectangle(drawn, (x, y), (x + width, y + height), _GREEN, 2)
        _write(drawn, f"{detection['label']} {detection['confidence']:.2f}", x, y)
    return drawn


def draw_prediction(bgr: npt.NDArray[np.uint8], prediction: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """A copy of an image with a service's prediction over it: boxes, or what it takes the image for.

    Args:
        bgr: [h, w, 3].
        prediction: as the service answers it for one image.
    """
    if "detections" in prediction:
        return draw_detections(bgr, prediction["detections"])
    drawn = bgr.copy()
    _write(drawn, _caption(prediction), 0, 0)
    return drawn


def _caption(prediction: Mapping[str, Any]) -> str:
    if "predicted_digit" in prediction:
        return f"{prediction['predicted_digit']} {prediction['confidence']:.2f}"
    best = prediction["predictions"][0]
    return f"{best['label']} {best['score']:.2f}" if "label" in best else f"{best['class']} {best['confidence']} %"


def _write(drawn: npt.NDArray[np.uint8], text: str, x: int, y: int) -> None:
    """Text on green, its lower edge at y where there is room above."""
    (text_w, text_h), below = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    top = max(y, text_h + below)
    cv2.rectangle(drawn, (x, top - text_h - below), (x + text_w, top), _GREEN, cv2.FILLED)
    cv2.putText(drawn, text, (x, top - below // 2), _FONT, _FONT_SCALE, _BLACK, 1, cv2.LINE_AA)
