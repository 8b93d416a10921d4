"""Handwritten digits: any picture of one digit to its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays import ink
from kserve_transformers.arrays.headers import is_small
from kserve_transformers.arrays.pictures import Picture
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.protocol.requests import Window
from kserve_transformers.services.parameters import check_parameters
from kserve_transformers.services.pictures import PictureTransformer
from kserve_transformers.services.predictions import DigitsPrediction
from kserve_transformers.services.transformer import Answered, OutputType, Tensors


@dataclass(frozen=True)
class Digit:
    """A digit, 0..9, and the probability that the model gives it."""

    digit: int
    confidence: float


class Digits(PictureTransformer[None, Digit]):
    """The service `digits`."""

    outputs: ClassVar[Mapping[str, OutputType]] = {
        "digit": ("INT32", [-1]),
        "confidence": ("FP32", [-1]),
    }
    prediction = DigitsPrediction

    def is_light(self, instance: bytes | Window) -> bool:
        """Where it is about as small as the model's input: by threads, a sixth to a quarter fewer requests a second."""
        return isinstance(instance, bytes) and is_small(instance)

    def parse_options(self, parameters: Mapping[str, Any]) -> None:
        """There are none."""
        return check_parameters(self.name, self.parameters, parameters)

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """Enough for the ink, which is then cropped."""
        return ink.needed_scale(size_wh)

    def prepare(self, decoded: Picture, model: Declaration) -> npt.NDArray[np.uint8]:
        """White ink on black, centred by mass."""
        return ink.to_mnist(decoded.rgb)[..., np.newaxis]

    def answer(self, outputs: Outputs, decoded: Picture, options: None, model: Declaration) -> Digit:
        """The most probable digit."""
        probabilities = outputs["probabilities"]
        best = int(probabilities.argmax())
        return Digit(best, float(probabilities[best]))

    def predictions(self, answered: Answered[Digit]) -> list[DigitsPrediction]:
        """{"predicted_digit", "confidence"}."""
        return [{"predicted_digit": one.digit, "confidence": round(one.confidence, 4)} for one in answered.answers]

    def tensors(self, answered: Answered[Digit]) -> Tensors:
        """`digit` INT32 [N], `confidence` FP32 [N]."""
        return {
            "digit": np.array([one.digit for one in answered.answers], np.int32),
            "confidence": np.array([one.confidence for one in answered.answers], np.float32),
        }
