"""Answers drawn over their images."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.client.inputs import Input
from kserve_transformers.client.storage import LocalFolder
from kserve_transformers.settings import Limits

_WRITTEN = frozenset((".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff"))
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


class Drawings:
    """Answers drawn over their images, each in a file of its own.

    Args:
        target: a file for one image, else a folder; drawings have the images' names, and .png behind those that OpenCV
            cannot write.
        inputs: all images of the run.

    Raises:
        ValueError: two drawings would have one name, a drawing would replace an image, or the target is no image file.
    """

    def __init__(self, target: str, inputs: Sequence[Input]) -> None:
        folder = len(inputs) != 1 or target.endswith("/") or Path(target).is_dir() or not Path(target).suffix
        self._files: dict[str, Path] = {}
        drawn_of: dict[str, str] = {os.path.abspath(one.name): one.name for one in inputs}  # noqa: PTH100
        for one in inputs:
            file = Path(target) / _drawable(one.relative) if folder else Path(target)
            if not cv2.haveImageWriter(str(file)):
                raise ValueError(f"--draw {file}: name a file that ends in .jpg or .png, or a folder")
            other = drawn_of.setdefault(os.path.abspath(file), one.name)  # noqa: PTH100
            if other != one.name or os.path.abspath(file) == os.path.abspath(one.name):  # noqa: PTH100
                raise ValueError(
                    f"--draw: the drawing of {one.name} would be {file}, as is {other}: use another folder"
                )
            self._files[one.name] = file

    def draw(self, one: Input, data: bytes, prediction: Mapping[str, Any]) -> None:
        """Write an image with its prediction over it.

        Raises:
            OSError: the file cannot be written.
        """
        bgr = np.ascontiguousarray(decode_image(data, Limits.pixels).rgb[..., ::-1])
        file = self._files[one.name]
        _, encoded = cv2.imencode(file.suffix, draw_prediction(bgr, prediction))
        LocalFolder(file.parent).write(file.name, encoded.tobytes())


def _drawable(relative: PurePosixPath) -> PurePosixPath:
    if relative.suffix.lower() in _WRITTEN:
        return relative
    return relative.with_name(f"{relative.name}.png")
