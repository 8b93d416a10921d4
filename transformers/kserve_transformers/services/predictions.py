"""What each service answers for one instance, in JSON: checked by mypy, and published in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

TOP_K = 5

Share = Annotated[float, Field(ge=0, le=1)]


class Prediction(TypedDict):
    """What all have in common."""

    warning: NotRequired[Annotated[str, Field(description="What callers must know, such as untrained weights.")]]


class Detection(TypedDict):
    """One box."""

    label: str
    confidence: Share
    bbox: Annotated[
        list[int],
        Field(min_length=4, max_length=4, description="x, y, width, height in pixels of the picture as it is seen."),
    ]


class DetectorPrediction(Prediction):
    """The objects in one picture, by descending confidence."""

    detections: list[Detection]


class DetectorAnswer(DetectorPrediction):
    """What the detector's own route answers: the `id` that was sent, too."""

    id: Any


class LabelScore(TypedDict):
    """One class."""

    label: str
    score: Share


class ClassifierPrediction(Prediction):
    """The best five of ImageNet's classes, and which model of the chain named them."""

    model: str
    fallback: Annotated[bool, Field(description="Whether it was not the chain's first model.")]
    predictions: Annotated[list[LabelScore], Field(min_length=TOP_K, max_length=TOP_K)]


# "class" is a keyword of Python's: the functional form can name it.
ClassConfidence = TypedDict(
    "ClassConfidence",
    {"class": str, "confidence": Annotated[float, Field(ge=0, le=100, description="Per cent, one decimal.")]},
)


class CarsPrediction(Prediction):
    """The best five makes and models."""

    status: Annotated[str, Field(pattern="^success$")]
    predictions: Annotated[list[ClassConfidence], Field(min_length=TOP_K, max_length=TOP_K)]
    top_prediction: ClassConfidence


class DigitsPrediction(Prediction):
    """The digit in one picture."""

    predicted_digit: Annotated[int, Field(ge=0, le=9)]
    confidence: Share


class AnomalyPrediction(Prediction):
    """How far one window is from what the model knows as normal."""

    mae: Annotated[float, Field(ge=0, description="Mean absolute error of the reconstruction.")]
    threshold: Annotated[float, Field(description="Above it a window is an anomaly.")]
    anomaly: bool
    reconstruction: NotRequired[
        Annotated[list[float], Field(description="The window as the model rebuilt it, asked for by a parameter.")]
    ]
