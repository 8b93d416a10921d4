"""Anomaly detection: windows of a series against an autoencoder's reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kserve_transformers.errors import BadRequestError
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.protocol.requests import InstanceKind, Window
from kserve_transformers.services.parameters import check_parameters
from kserve_transformers.services.predictions import AnomalyPrediction
from kserve_transformers.services.transformer import Answered, OutputType, Tensors, Transformer


@dataclass(frozen=True)
class Verdict:
    """A window's mean absolute error, in the series' normalised units, against the model's threshold."""

    mae: float
    threshold: float

    @property
    def anomaly(self) -> bool:
        """Whether the error is above the threshold."""
        return self.mae > self.threshold


class Anomaly(Transformer[Window, None, Verdict]):
    """The service `anomaly`."""

    kind: ClassVar[InstanceKind] = InstanceKind.WINDOW
    outputs: ClassVar[Mapping[str, OutputType]] = {
        "mae": ("FP32", [-1]),
        "threshold": ("FP32", [-1]),
        "anomaly": ("BOOL", [-1]),
    }
    prediction = AnomalyPrediction

    def parse_options(self, parameters: Mapping[str, Any]) -> None:
        """There are none."""
        return check_parameters(self.name, self.parameters, parameters)

    def decode(self, instance: bytes | Window) -> Window:
        """A window is decoded already."""
        if isinstance(instance, bytes):
            raise TypeError("the anomaly service was given a picture")
        return instance

    def prepare(self, decoded: Window, model: Declaration) -> npt.NDArray[np.float32]:
        """The window as it is, of the length that the model takes."""
        (length,) = model.input.shape
        if len(decoded) != length:
            raise BadRequestError(f"a window has {len(decoded)} numbers; the model takes {length}")
        return decoded

    def answer(self, outputs: Outputs, decoded: Window, options: None, model: Declaration) -> Verdict:
        """The error against the threshold in the model's config."""
        return Verdict(float(outputs["mae"].reshape(-1)[0]), float(model.parameters["threshold"]))

    def predictions(self, answered: Answered[Verdict]) -> list[AnomalyPrediction]:
        """{"mae", "threshold", "anomaly"}."""
        return [{"mae": one.mae, "threshold": one.threshold, "anomaly": one.anomaly} for one in answered.answers]

    def tensors(self, answered: Answered[Verdict]) -> Tensors:
        """`mae` FP32 [N], `threshold` FP32 [N], `anomaly` BOOL [N]."""
        return {
            "mae": np.array([one.mae for one in answered.answers], np.float32),
            "threshold": np.array([one.threshold for one in answered.answers], np.float32),
            "anomaly": np.array([one.anomaly for one in answered.answers], np.bool_),
        }
