"""Handwritten digits: any image of one digit to its value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from kserve_transformers.arrays import ink
from kserve_transformers.arrays.decoding import DECODING, DecodedImage
from kserve_transformers.arrays.images.png import is_small
from kserve_transformers.arrays.opacity import lay_on_contrast
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.protocol.requests import Window
from kserve_transformers.tasks.images import ImageTask
from kserve_transformers.tasks.task import Answered, OutputType, Prediction, Prepared, Presentation, Share, Tensors


@dataclass(frozen=True)
class Digit:
    """A digit, 0..9, and the probability that the model gives it."""

    digit: int
    confidence: float


class DigitsPrediction(Prediction):
    """The digit in one image."""

    predicted_digit: Annotated[int, Field(ge=0, le=9)]
    confidence: Share


def _predictions(answered: Answered[Digit]) -> list[DigitsPrediction]:
    return [{"predicted_digit": one.digit, "confidence": round(one.confidence, 4)} for one in answered.answers]


class DigitsTask(ImageTask[Digit]):
    """Reads one handwritten digit."""

    outputs: ClassVar[Mapping[str, OutputType]] = {"digit": ("INT32", [-1]), "confidence": ("FP32", [-1])}
    model_input = ("UINT8", [28, 28, 1])
    model_outputs: ClassVar[Mapping[str | None, OutputType]] = {"probabilities": ("FP32", [10])}
    presentations: ClassVar[Mapping[str | None, Presentation[Any]]] = {
        None: Presentation("/predict", DigitsPrediction, _predictions, welcome="MNIST Classification API")
    }
    example = "digit.png"

    def is_light(self, instance: bytes | Window) -> bool:
        """Where the image is about as small as the model's input: handing it to a thread would cost more."""
        return isinstance(instance, bytes) and is_small(instance)

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """Enough for the ink, which is then cropped."""
        return ink.needed_scale(size_wh)

    def decode(self, instance: bytes, models: Sequence[Declaration], max_pixels: int) -> DecodedImage:
        """As every image; light strokes on a transparent canvas are laid on black."""
        decoded = super().decode(instance, models, max_pixels)
        return replace(decoded, rgb=lay_on_contrast(decoded.rgb, instance, DECODING))

    def prepare(self, decoded: DecodedImage, model: Declaration) -> Prepared:
        """White ink on black, centred by mass, [28, 28, 1].

        Raises:
            UnprocessableError: there is no ink in the image.
        """
        return Prepared(ink.to_mnist(decoded.rgb)[..., np.newaxis])

    def answer(self, outputs: Outputs, context: None, options: Mapping[str, Any], model: Declaration) -> Digit:
        """The most probable digit."""
        probabilities = outputs["probabilities"]
        best = int(probabilities.argmax())
        return Digit(best, float(probabilities[best]))

    def tensors(self, answered: Answered[Digit]) -> Tensors:
        """`digit` INT32 [N], `confidence` FP32 [N]."""
        return {
            "digit": np.array([one.digit for one in answered.answers], np.int32),
            "confidence": np.array([one.confidence for one in answered.answers], np.float32),
        }
