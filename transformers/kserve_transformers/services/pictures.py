"""What the picture services share: the front door, and the top five of a classifier."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.crop import ResizeRule
from kserve_transformers.arrays.pictures import Picture, decode_picture
from kserve_transformers.errors import BadAnswerError, TooLargeError
from kserve_transformers.metrics import REFUSED_PIXELS
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.protocol.requests import Window
from kserve_transformers.services.parameters import check_parameters
from kserve_transformers.services.predictions import TOP_K
from kserve_transformers.services.transformer import Answered, Tensors, Transformer, strings

logger = logging.getLogger(__name__)

Options = TypeVar("Options")
Answer = TypeVar("Answer")


class PictureTransformer(Transformer[Picture, Options, Answer]):
    """A service whose instances are encoded pictures."""

    def needed_scale(self, size_wh: tuple[int, int]) -> float:
        """The smallest scale at which all models of the chain can use a picture of this size."""
        known = [model.known_declaration for model in self.chain if model.ready]
        return max((self.model_scale(one, size_wh) for one in known if one is not None), default=1.0)

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """The smallest scale at which one model can use a picture of this size."""
        raise NotImplementedError

    def decode(self, instance: bytes | Window) -> Picture:
        """Through the front door."""
        if not isinstance(instance, bytes):
            raise TypeError("a picture service was given a window")
        try:
            return decode_picture(instance, self._limits.pixels, self.needed_scale)
        except TooLargeError as error:
            REFUSED_PIXELS.labels(self.name).inc(error.pixels)
            raise


@dataclass(frozen=True)
class TopK:
    """The best classes of a picture, by descending score; equal scores in the order of the classes."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]


class TopKTransformer(PictureTransformer[None, TopK]):
    """A service that names what is in a picture: the best five classes."""

    def parse_options(self, parameters: Mapping[str, Any]) -> None:
        """There are none."""
        return check_parameters(self.name, self.parameters, parameters)

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """As the model's resize rule needs it."""
        return resize_rule(model).needed_scale(size_wh)

    def prepare(self, decoded: Picture, model: Declaration) -> npt.NDArray[np.uint8]:
        """The picture by the model's own resize rule."""
        return resize_rule(model).apply(decoded.rgb)

    def answer(self, outputs: Outputs, decoded: Picture, options: None, model: Declaration) -> TopK:
        """The five best."""
        (probabilities,) = outputs.values()
        best = np.argsort(-probabilities, kind="stable")[:TOP_K]
        return TopK(
            tuple(model.label(int(index)) for index in best), tuple(float(probabilities[index]) for index in best)
        )

    def tensors(self, answered: Answered[TopK]) -> Tensors:
        """`label` BYTES [N,5] and `score` FP32 [N,5]."""
        return {
            "label": np.stack([strings(answer.labels) for answer in answered.answers]),
            "score": np.array([answer.scores for answer in answered.answers], np.float32),
        }


def resize_rule(model: Declaration) -> ResizeRule:
    """The rule that travels with the model's weights.

    Raises:
        BadAnswerError: the model's parameters hold none that is known.
    """
    height, width, _ = model.input.shape
    try:
        return ResizeRule.from_parameters(model.parameters, (width, height))
    except ValueError as exc:
        logger.error("model %s: %s", model.name, exc)
        raise BadAnswerError(
            f"model {model.name} does not say how it wants its pictures: mend its config.pbtxt"
        ) from exc
