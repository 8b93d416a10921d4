"""Image classification: the five best classes; presented as such, or in the words of the older car classifier."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from kserve_transformers.arrays.crop import ResizeRule
from kserve_transformers.arrays.decoding import DecodedImage
from kserve_transformers.errors import BadAnswerError
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.tasks.images import ImageTask
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

TOP_K = 5


@dataclass(frozen=True)
class TopK:
    """The best classes of an image, by descending score; equal scores in the order of the classes."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]


class LabelScore(TypedDict):
    """One class."""

    label: str
    score: Share


class ClassifierPrediction(Prediction):
    """The five best classes, or all where the model has fewer, and which model of the chain named them."""

    model: str
    fallback: Annotated[bool, Field(description="Whether it was not the chain's first model.")]
    predictions: Annotated[list[LabelScore], Field(min_length=1, max_length=TOP_K)]


# "class" is a keyword of Python's: the functional form can name it.
ClassConfidence = TypedDict(
    "ClassConfidence",
    {"class": str, "confidence": Annotated[float, Field(ge=0, le=100, description="Per cent, one decimal.")]},
)


class CarsPrediction(Prediction):
    """The five best makes and models."""

    status: Annotated[str, Field(pattern="^success$")]
    predictions: Annotated[list[ClassConfidence], Field(min_length=1, max_length=TOP_K)]
    top_prediction: ClassConfidence


def _by_label(answered: Answered[TopK]) -> list[ClassifierPrediction]:
    return [
        {
            "model": answered.model,
            "fallback": answered.fallback,
            "predictions": [
                {"label": label, "score": round(score, 4)} for label, score in zip(top.labels, top.scores, strict=True)
            ],
        }
        for top in answered.answers
    ]


def _in_per_cent(answered: Answered[TopK]) -> list[CarsPrediction]:
    predictions: list[CarsPrediction] = []
    for top in answered.answers:
        best: list[ClassConfidence] = [
            {"class": label, "confidence": round(100 * score, 1)}
            for label, score in zip(top.labels, top.scores, strict=True)
        ]
        predictions.append({"status": "success", "predictions": best, "top_prediction": best[0]})
    return predictions


class ClassificationTask(ImageTask[TopK]):
    """Names what is in an image."""

    outputs: ClassVar[Mapping[str, OutputType]] = {
        "label": ("BYTES", [-1, TOP_K]),
        "score": ("FP32", [-1, TOP_K]),
        "model": ("BYTES", [-1]),
        "fallback": ("BOOL", [-1]),
    }
    model_input = ("UINT8", [-1, -1, 3])
    model_outputs: ClassVar[Mapping[str | None, OutputType]] = {None: ("FP32", [-1])}
    presentations: ClassVar[Mapping[str | None, Presentation[Any]]] = {
        None: Presentation("/classify", ClassifierPrediction, _by_label),
        "cars": Presentation("/predict", CarsPrediction, _in_per_cent, outputs=("label", "score")),
    }
    example = "image.webp"
    takes_photos = True

    def misfit(self, model: Declaration) -> str | None:
        """It must say how many classes it has, and have a resize rule that is known."""
        reason = super().misfit(model)
        if reason is None:
            (output,) = model.outputs.values()
            try:
                _resize_rule(model)
            except BadAnswerError as error:
                return str(error)
            if output.shape[0] < 1:
                return "it does not say how many classes it has"
        return reason

    def output_types(self, model: Declaration | None = None) -> dict[str, OutputType]:
        """With the number of classes that are answered, once the model is known."""
        count = min(TOP_K, next(iter(model.outputs.values())).shape[0]) if model else TOP_K
        return {
            name: (datatype, [size if size == -1 else count for size in shape])
            for name, (datatype, shape) in super().output_types(model).items()
        }

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """As the model's resize rule needs it."""
        return _resize_rule(model).needed_scale(size_wh)

    def prepare(self, decoded: DecodedImage, model: Declaration) -> Prepared:
        """The image by the model's own resize rule, [height, width, 3]."""
        return Prepared(_resize_rule(model).apply(decoded.rgb))

    def answer(self, outputs: Outputs, context: None, options: Mapping[str, Any], model: Declaration) -> TopK:
        """The five best classes."""
        (probabilities,) = outputs.values()
        best = np.argsort(-probabilities, kind="stable")[:TOP_K]
        return TopK(
            tuple(model.label(int(index)) for index in best), tuple(float(probabilities[index]) for index in best)
        )

    def tensors(self, answered: Answered[TopK]) -> Tensors:
        """`label` BYTES [N,5], `score` FP32 [N,5], `model` BYTES [N] and `fallback` BOOL [N]."""
        count = len(answered.answers)
        return {
            "label": np.stack([strings(answer.labels) for answer in answered.answers]),
            "score": np.array([answer.scores for answer in answered.answers], np.float32),
            "model": strings([answered.model] * count),
            "fallback": np.full(count, answered.fallback),
        }


def _resize_rule(model: Declaration) -> ResizeRule:
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
            f"model {model.name} does not say how it wants its images: correct its config.pbtxt"
        ) from exc
