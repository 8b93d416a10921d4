"""Car make and model: the five best of Stanford's 196 classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kserve_transformers.services.pictures import TopK, TopKTransformer
from kserve_transformers.services.predictions import TOP_K, CarsPrediction, ClassConfidence
from kserve_transformers.services.transformer import Answered, OutputType


class Cars(TopKTransformer):
    """The service `cars`."""

    outputs: ClassVar[Mapping[str, OutputType]] = {
        "label": ("BYTES", [-1, TOP_K]),
        "score": ("FP32", [-1, TOP_K]),
    }
    prediction = CarsPrediction

    def predictions(self, answered: Answered[TopK]) -> list[CarsPrediction]:
        """{"status", "predictions": [{"class", "confidence"} x 5], "top_prediction"}; per cent, one decimal."""
        return [_prediction(top) for top in answered.answers]


def _prediction(top: TopK) -> CarsPrediction:
    best: list[ClassConfidence] = [
        {"class": label, "confidence": round(100 * score, 1)}
        for label, score in zip(top.labels, top.scores, strict=True)
    ]
    return {"status": "success", "predictions": best, "top_prediction": best[0]}
