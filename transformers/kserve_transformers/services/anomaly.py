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
from kserve_transformers.services.parameters import Flag, Parameter, check_parameters
from kserve_transformers.services.predictions import AnomalyPrediction
from kserve_transformers.services.transformer import Answered, OutputType, Tensors, Transformer


@dataclass(frozen=True)
class Verdict:
    """A window's mean absolute error, in the series' normalised units, against the model's threshold.

    Attributes:
        mae: of the window.
        threshold: of the model.
        reconstruction: [L], in the series' own units, where the caller asked for it.
    """

    mae: float
    threshold: float
    reconstruction: npt.NDArray[np.float32] | None = None

    @property
    def anomaly(self) -> bool:
        """Whether the error is above the threshold."""
        return self.mae > self.threshold


class Anomaly(Transformer[Window, bool, Verdict]):
    """The service `anomaly`."""

    kind: ClassVar[InstanceKind] = InstanceKind.WINDOW
    outputs: ClassVar[Mapping[str, OutputType]] = {
        "mae": ("FP32", [-1]),
        "threshold": ("FP32", [-1]),
        "anomaly": ("BOOL", [-1]),
    }
    optional_outputs: ClassVar[Mapping[str, OutputType]] = {"reconstruction": ("FP32", [-1, -1])}
    prediction = AnomalyPrediction
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "reconstruction": Flag("Whether the answer carries what the model made of each window."),
    }

    def get_input_types(self) -> list[dict[str, Any]]:
        """With the window's length, once the model is known."""
        declared = next((model.known_declaration for model in self.chain if model.known_declaration), None)
        known = {"shape": [-1, *declared.input.shape]} if declared else {}
        return [{**entry, **known} for entry in super().get_input_types()]

    def is_light(self, instance: bytes | Window) -> bool:
        """Always: its numbers are there."""
        return True

    def parse_options(self, parameters: Mapping[str, Any]) -> bool:
        """`reconstruction`."""
        check_parameters(self.name, self.parameters, parameters)
        return bool(parameters.get("reconstruction", False))

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

    def answer(self, outputs: Outputs, decoded: Window, options: bool, model: Declaration) -> Verdict:
        """The error against the threshold in the model's config."""
        mae, threshold = float(outputs["mae"].reshape(-1)[0]), float(model.parameters["threshold"])
        return Verdict(mae, threshold, outputs["reconstruction"] if options else None)

    def predictions(self, answered: Answered[Verdict]) -> list[AnomalyPrediction]:
        """{"mae", "threshold", "anomaly"}, and "reconstruction" where it was asked for."""
        return [_prediction(one) for one in answered.answers]

    def tensors(self, answered: Answered[Verdict]) -> Tensors:
        """`mae` FP32 [N], `threshold` FP32 [N], `anomaly` BOOL [N]; `reconstruction` FP32 [N,L] where asked for."""
        rebuilt = [one.reconstruction for one in answered.answers if one.reconstruction is not None]
        return {
            "mae": np.array([one.mae for one in answered.answers], np.float32),
            "threshold": np.array([one.threshold for one in answered.answers], np.float32),
            "anomaly": np.array([one.anomaly for one in answered.answers], np.bool_),
            **({"reconstruction": np.stack(rebuilt)} if rebuilt else {}),
        }


def _prediction(one: Verdict) -> AnomalyPrediction:
    prediction: AnomalyPrediction = {"mae": one.mae, "threshold": one.threshold, "anomaly": one.anomaly}
    if one.reconstruction is not None:
        prediction["reconstruction"] = one.reconstruction.tolist()
    return prediction
