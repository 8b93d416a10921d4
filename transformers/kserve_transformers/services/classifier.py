"""Image classification through a chain of models: the answer names which one gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kserve_transformers.services.pictures import TopK, TopKTransformer
from kserve_transformers.services.predictions import TOP_K, ClassifierPrediction
from kserve_transformers.services.transformer import Answered, OutputType, Tensors, strings


class Classifier(TopKTransformer):
    """The service `classifier`."""

    outputs: ClassVar[Mapping[str, OutputType]] = {
        "label": ("BYTES", [-1, TOP_K]),
        "score": ("FP32", [-1, TOP_K]),
        "model": ("BYTES", [-1]),
        "fallback": ("BOOL", [-1]),
    }
    prediction = ClassifierPrediction

    def predictions(self, answered: Answered[TopK]) -> list[ClassifierPrediction]:
        """{"model", "fallback", "predictions": [{"label", "score"} x 5]}."""
        return [
            {
                "model": answered.model,
                "fallback": answered.fallback,
                "predictions": [
                    {"label": label, "score": round(score, 4)}
                    for label, score in zip(top.labels, top.scores, strict=True)
                ],
            }
            for top in answered.answers
        ]

    def tensors(self, answered: Answered[TopK]) -> Tensors:
        """The top five, `model` BYTES [N] and `fallback` BOOL [N]."""
        count = len(answered.answers)
        return {
            **super().tensors(answered),
            "model": strings([answered.model] * count),
            "fallback": np.full(count, answered.fallback),
        }
