"""Object detection: YOLO's candidates to labelled boxes in pixels of the picture sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.boxes import class_wise_nms, xyxy_to_xywh
from kserve_transformers.arrays.letterbox import Letterbox, fit_scale
from kserve_transformers.arrays.pictures import Picture
from kserve_transformers.predictor import Declaration, Outputs, TritonModel
from kserve_transformers.services.parameters import Number, Parameter, check_parameters
from kserve_transformers.services.pictures import PictureTransformer
from kserve_transformers.services.predictions import DetectorPrediction
from kserve_transformers.services.transformer import (
    Answered,
    OutputType,
    Tensors,
    strings,
)
from kserve_transformers.settings import Limits


@dataclass(frozen=True)
class Thresholds:
    """What counts as a detection.

    Attributes:
        score_threshold: lowest score, 0..1.
        iou_threshold: overlap above which the weaker of two boxes of a class is dropped, 0..1.
    """

    score_threshold: float
    iou_threshold: float


@dataclass(frozen=True)
class Detections:
    """What is in one picture, by descending score.

    Attributes:
        boxes: [M, 4], x, y, width, height, in pixels of the picture as a person sees it.
        scores: [M], 0..1.
        labels: M names.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]


class Detector(PictureTransformer[Thresholds, Detections]):
    """The service `detector`.

    Args:
        name, chain, limits, threads: as for every service.
        thresholds: where a request names none.
    """

    # M boxes over all pictures of the request.
    outputs: ClassVar[Mapping[str, OutputType]] = {
        "box": ("FP32", [-1, 4]),
        "score": ("FP32", [-1]),
        "label": ("BYTES", [-1]),
        "image_index": ("INT32", [-1]),
    }
    prediction = DetectorPrediction
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "score_threshold": Number(0, 1, "Lowest confidence of a detection."),
        "iou_threshold": Number(0, 1, "Overlap above which the weaker of two boxes of a class is dropped."),
    }

    def __init__(
        self, name: str, chain: Sequence[TritonModel], limits: Limits, threads: Executor, thresholds: Thresholds
    ) -> None:
        super().__init__(name, chain, limits, threads)
        self._thresholds = thresholds

    def parse_options(self, parameters: Mapping[str, Any]) -> Thresholds:
        """The thresholds that the request names, the server's for the others."""
        check_parameters(self.name, self.parameters, parameters)
        return replace(self._thresholds, **parameters)

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """As much as fills the model's frame."""
        return fit_scale(size_wh, _frame_wh(model))

    def prepare(self, decoded: Picture, model: Declaration) -> npt.NDArray[np.uint8]:
        """The picture in a letterbox."""
        return Letterbox.fit(decoded.size_wh, _frame_wh(model)).draw(decoded.rgb)

    def answer(self, outputs: Outputs, decoded: Picture, options: Thresholds, model: Declaration) -> Detections:
        """Threshold, letterbox undone, class-wise NMS."""
        likely = outputs["scores"] >= options.score_threshold
        boxes, scores, classes = outputs["boxes"][likely], outputs["scores"][likely], outputs["classes"][likely]
        boxes = Letterbox.fit(decoded.size_wh, _frame_wh(model)).undo(boxes)
        kept = class_wise_nms(boxes, scores, classes, options.iou_threshold)
        return Detections(
            xyxy_to_xywh(boxes[kept]), scores[kept], tuple(model.label(int(index)) for index in classes[kept])
        )

    def predictions(self, answered: Answered[Detections]) -> list[DetectorPrediction]:
        """{"detections": [{"label", "confidence", "bbox": [x, y, width, height]}]}, whole pixels."""
        return [
            {
                "detections": [
                    {"label": label, "confidence": round(float(score), 4), "bbox": _whole_pixels(box)}
                    for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
                ]
            }
            for found in answered.answers
        ]

    def tensors(self, answered: Answered[Detections]) -> Tensors:
        """`box` FP32 [M,4] (x, y, width, height), `score` FP32 [M], `label` BYTES [M], `image_index` INT32 [M]."""
        found = answered.answers
        return {
            "box": np.concatenate([one.boxes for one in found]),
            "score": np.concatenate([one.scores for one in found]),
            "label": strings([label for one in found for label in one.labels]),
            "image_index": np.repeat(np.arange(len(found), dtype=np.int32), [len(one.labels) for one in found]),
        }


def _frame_wh(model: Declaration) -> tuple[int, int]:
    height, width, _ = model.input.shape
    return width, height


def _whole_pixels(box: npt.NDArray[np.float32]) -> list[int]:
    """The box in whole pixels; corners are rounded, so that it stays inside the picture."""
    x, y, width, height = (float(side) for side in box)
    left, top = round(x), round(y)
    return [left, top, round(x + width) - left, round(y + height) - top]
