"""Anomaly detection: windows of a series against an autoencoder's reconstruction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NotRequired

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kserve_transformers.errors import BadRequestError
from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.protocol.requests import InstanceKind, Window
from kserve_transformers.tasks.parameters import Flag, Parameter
from kserve_transformers.tasks.task import Answered, OutputType, Prediction, Prepared, Presentation, Task, Tensors


@dataclass(frozen=True)
class Verdict:
    """A window's mean absolute error, in the series' normalised units, against the model's threshold.

    `reconstruction` is [L], in the series' own units, where the caller requested it.
    """

    mae: float
    threshold: float
    reconstruction: npt.NDArray[np.float32] | None = None

    @property
    def anomaly(self) -> bool:
        """Whether the error is above the threshold."""
        return self.mae > self.threshold


class AnomalyPrediction(Prediction):
    """How far one window is from what the model knows as normal."""

    mae: Annotated[float, Field(ge=0, description="Mean absolute error of the reconstruction.")]
    threshold: Annotated[float, Field(description="Above it a window is an anomaly.")]
    anomaly: bool
    reconstruction: NotRequired[
        Annotated[list[float], Field(description="The window as the model rebuilt it, requested by a parameter.")]
    ]


def _predictions(answered: Answered[Verdict]) -> list[AnomalyPrediction]:
    predictions: list[AnomalyPrediction] = []
    for one in answered.answers:
        prediction: AnomalyPrediction = {"mae": one.mae, "threshold": one.threshold, "anomaly": one.anomaly}
        if one.reconstruction is not None:
            prediction["reconstruction"] = one.reconstruction.tolist()
        predictions.append(prediction)
    return predictions


class AnomalyTask(Task[Window, Verdict]):
    """Judges windows of a series; the threshold is the model's."""

    kind: ClassVar[InstanceKind] = InstanceKind.WINDOW
    outputs: ClassVar[Mapping[str, OutputType]] = {
        "mae": ("FP32", [-1]),
        "threshold": ("FP32", [-1]),
        "anomaly": ("BOOL", [-1]),
    }
    optional_outputs: ClassVar[Mapping[str, OutputType]] = {"reconstruction": ("FP32", [-1, -1])}
    model_input = ("FP32", [-1])
    model_outputs: ClassVar[Mapping[str | None, OutputType]] = {"mae": ("FP32", [1]), "reconstruction": ("FP32", [-1])}
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "reconstruction": Flag("Whether the answer carries what the model made of each window.")
    }
    presentations: ClassVar[Mapping[str | None, Presentation[Any]]] = {
        None: Presentation("/predict", AnomalyPrediction, _predictions)
    }
    example = "window.json"

    def misfit(self, model: Declaration) -> str | None:
        """Its config must have the threshold, too."""
        try:
            float(model.parameters.get("threshold", "missing"))
        except ValueError:
            return super().misfit(model) or "its config.pbtxt has no parameter threshold that is a number"
        return super().misfit(model)

    def input_type(self, model: Declaration | None) -> dict[str, Any]:
        """With the window's length, once the model is known."""
        return super().input_type(model) | ({"shape": [-1, *model.input.shape]} if model else {})

    def is_light(self, instance: bytes | Window) -> bool:
        """Always: a window needs no decoding."""
        return True

    def decode(self, instance: Any, models: Sequence[Declaration], max_pixels: int) -> Window:
        """The window as it is."""
        window: Window = instance
        return window

    def prepare(self, decoded: Window, model: Declaration) -> Prepared:
        """The window as it is, [L].

        Raises:
            BadRequestError: it is not of the length that the model takes.
        """
        (length,) = model.input.shape
        if len(decoded) != length:
            raise BadRequestError(f"a window has {len(decoded)} numbers; the model takes {length}")
        return Prepared(decoded)

    def answer(self, outputs: Outputs, context: None, options: Mapping[str, Any], model: Declaration) -> Verdict:
        """The error against the threshold in the model's config."""
        mae, threshold = float(outputs["mae"].reshape(-1)[0]), float(model.parameters["threshold"])
        return Verdict(mae, threshold, outputs["reconstruction"] if options["reconstruction"] else None)

    def tensors(self, answered: Answered[Verdict]) -> Tensors:
        """`mae` FP32 [N], `threshold` FP32 [N], `anomaly` BOOL [N]; `reconstruction` FP32 [N,L] where requested."""
        rebuilt = [one.reconstruction for one in answered.answers if one.reconstruction is not None]
        return {
            "mae": np.array([one.mae for one in answered.answers], np.float32),
            "threshold": np.array([one.threshold for one in answered.answers], np.float32),
            "anomaly": np.array([one.anomaly for one in answered.answers], np.bool_),
            **({"reconstruction": np.stack(rebuilt)} if rebuilt else {}),
        }
