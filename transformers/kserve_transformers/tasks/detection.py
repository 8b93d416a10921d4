"""Object detection: a model's candidates to labelled boxes in pixels of the image sent."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import TypedDict

from kserve_transformers.arrays.boxes import class_wise_nms, xyxy_to_xywh
from kserve_transformers.arrays.decoding import DecodedImage
from kserve_transformers.arrays.letterbox import Letterbox
from kserve_transformers.errors import BadAnswerError
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.tasks.images import ImageTask
from kserve_transformers.tasks.parameters import Number, Parameter
from kserve_transformers.tasks.task import (
    Answered,
    OutputType,
    Prediction,
    Prepared,
    Presentation,
    Share,
    Tensors,
    strings,
)

logger = logging.getLogger(__name__)

_Place = Callable[[tuple[int, int], tuple[int, int]], Letterbox]
_Scale = Callable[[Iterable[float]], float]
# By a model's parameter resize_mode: where an image lies in the model's input, and which side decides its scale.
_RESIZE_MODES: Mapping[str, tuple[_Place, _Scale]] = {
    "letterbox": (Letterbox.fit, min),
    "stretch": (Letterbox.stretch, max),
}


@dataclass(frozen=True)
class Detections:
    """The objects in one image, by descending score.

    Boxes are [M, 4], x, y, width, height, in pixels of the image as a person sees it; scores [M], in 0..1; M labels.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]


class Detection(TypedDict):
    """One box."""

    label: str
    confidence: Share
    bbox: Annotated[
        list[int],
        Field(min_length=4, max_length=4, description="x, y, width, height in pixels of the image as it is seen."),
    ]


class DetectorPrediction(Prediction):
    """The objects in one image, by descending confidence."""

    detections: list[Detection]


class DetectorAnswer(DetectorPrediction):
    """What the detector's legacy route answers: the `id` that was sent, too."""

    id: Any


def _predictions(answered: Answered[Detections]) -> list[DetectorPrediction]:
    return [
        {
            "detections": [
                {"label": label, "confidence": round(float(score), 4), "bbox": _whole_pixels(box)}
                for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
            ]
        }
        for found in answered.answers
    ]


class DetectionTask(ImageTask[Detections]):
    """Finds objects in an image; the model answers the best candidates as boxes, scores and classes."""

    # M boxes over all images of the request.
    outputs: ClassVar[Mapping[str, OutputType]] = {
        "box": ("FP32", [-1, 4]),
        "score": ("FP32", [-1]),
        "label": ("BYTES", [-1]),
        "image_index": ("INT32", [-1]),
    }
    model_input = ("UINT8", [-1, -1, 3])
    model_outputs: ClassVar[Mapping[str | None, OutputType]] = {
        "boxes": ("FP32", [-1, 4]),
        "scores": ("FP32", [-1]),
        "classes": ("INT32", [-1]),
    }
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "score_threshold": Number(0, 1, "Lowest confidence of a detection.", 0.3),
        "iou_threshold": Number(0, 1, "Overlap above which the weaker of two boxes of a class is dropped.", 0.45),
    }
    presentations: ClassVar[Mapping[str | None, Presentation[Any]]] = {
        None: Presentation(
            "/api/",
            DetectorPrediction,
            _predictions,
            legacy_answer=DetectorAnswer,
            welcome="Welcome to the object detection API",
        )
    }
    example = "image.webp"
    takes_photos = True

    def misfit(self, model: Declaration) -> str | None:
        """Its resize mode must be known."""
        reason = super().misfit(model)
        if reason is None:
            try:
                _resize_mode(model)
            except BadAnswerError as error:
                return str(error)
        return reason

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """As much as fills the model's frame."""
        _, chosen = _resize_mode(model)
        return chosen(frame / side for frame, side in zip(_frame_wh(model), size_wh, strict=True))

    def prepare(self, decoded: DecodedImage, model: Declaration) -> Prepared:
        """The image in a letterbox or stretched, [height, width, 3]; the context is its place."""
        place, _ = _resize_mode(model)
        letterbox = place(decoded.size_wh, _frame_wh(model))
        return Prepared(letterbox.draw(decoded.rgb), letterbox)

    def answer(
        self, outputs: Outputs, context: Letterbox, options: Mapping[str, Any], model: Declaration
    ) -> Detections:
        """Apply the score threshold, map boxes back to the image, and suppress by class what overlaps a better box."""
        likely = outputs["scores"] >= options["score_threshold"]
        boxes, scores, classes = outputs["boxes"][likely], outputs["scores"][likely], outputs["classes"][likely]
        boxes = context.undo(boxes)
        kept = class_wise_nms(boxes, scores, classes, options["iou_threshold"])
        return Detections(
            xyxy_to_xywh(boxes[kept]), scores[kept], tuple(model.label(int(index)) for index in classes[kept])
        )

    def tensors(self, answered: Answered[Detections]) -> Tensors:
        """`box` FP32 [M,4] (x, y, width, height), `score` FP32 [M], `label` BYTES [M], `image_index` INT32 [M]."""
        found = answered.answers
        return {
            "box": np.concatenate([one.boxes for one in found]),
            "score": np.concatenate([one.scores for one in found]),
            "label": strings([label for one in found for label in one.labels]),
            "image_index": np.repeat(np.arange(len(found), dtype=np.int32), [len(one.labels) for one in found]),
        }


def _resize_mode(model: Declaration) -> tuple[_Place, _Scale]:
    """The model's parameter resize_mode, `letterbox` if it has none.

    Raises:
        BadAnswerError: the parameter has a value that is not known.
    """
    mode = model.parameters.get("resize_mode", "letterbox")
    if mode not in _RESIZE_MODES:
        logger.error("model %s: resize_mode %r is none of %s", model.name, mode, ", ".join(_RESIZE_MODES))
        raise BadAnswerError(f"model {model.name} does not say how it wants its images: correct its config.pbtxt")
    return _RESIZE_MODES[mode]


def _frame_wh(model: Declaration) -> tuple[int, int]:
    height, width, _ = model.input.shape
    return width, height


def _whole_pixels(box: npt.NDArray[np.float32]) -> list[int]:
    """The box in whole pixels; corners are rounded, so that it stays inside the image."""
    x, y, width, height = (float(side) for side in box)
    left, top = round(x), round(y)
    return [left, top, round(x + width) - left, round(y + height) - top]
