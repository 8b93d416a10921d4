"""Reads a prediction of any task, in the JSON form of V1, into labels, scores and boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Results:
    """The results for one instance, best first."""

    labels: tuple[str, ...]  # of classes, or the value of another answer as text
    scores: tuple[float, ...]  # one for each label, by `measure`
    # x, y, width, height in pixels, one for each label; None for tasks without boxes
    boxes: tuple[tuple[int, int, int, int], ...] | None = None
    measure: str = "score"  # what the scores are: "score", 0..1, or "error", in the unit of the input
    model: str | None = None  # which model of the chain answered, where the answer says so


def read_prediction(prediction: Mapping[str, Any]) -> Results:
    """Read one prediction.

    Args:
        prediction: `detections` with label, confidence and bbox; `predictions` with label and score, or with class and
            a confidence in per cent; else an integer or a boolean and a score or an error, the first of these types.

    Raises:
        ValueError: it is none of these.
    """
    try:
        return _read(prediction)
    except (KeyError, TypeError) as exc:
        raise ValueError(f"no label and score where they are expected: {exc!r}") from exc


def _read(prediction: Mapping[str, Any]) -> Results:
    if "detections" in prediction:
        found = prediction["detections"]
        return Results(
            tuple(one["label"] for one in found),
            tuple(one["confidence"] for one in found),
            tuple(tuple(one["bbox"]) for one in found),
        )
    if "predictions" in prediction:
        best = prediction["predictions"]
        labels = tuple(one["label"] if "label" in one else one["class"] for one in best)
        scores = tuple(one["score"] if "score" in one else one["confidence"] / 100 for one in best)
        return Results(labels, scores, model=prediction.get("model"))
    score = next((name for name, value in prediction.items() if isinstance(value, float)), None)
    name = next((name for name, value in prediction.items() if isinstance(value, int)), None)
    if score is None or name is None:
        raise ValueError(f"no label and score among {', '.join(prediction) or 'nothing'}")
    value = prediction[name]
    label = ("" if value else "not ") + name if isinstance(value, bool) else str(value)
    measure = "score" if score in ("score", "confidence") else "error"
    return Results((label,), (float(prediction[score]),), measure=measure)
