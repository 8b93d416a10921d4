"""Golden samples: an input and the answer that it must give, kept beside the model in its repository."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from kserve_transformers.predictor.declaration import TensorSpec


@dataclass(frozen=True)
class GoldenOutput:
    """The leading rows that an output must have, and their absolute tolerance."""

    values: npt.NDArray[np.float64]
    atol: float


@dataclass(frozen=True)
class Drift:
    """How far an answer is from the golden answer.

    Attributes:
        share: the largest error divided by its tolerance, 0 to 1; infinite where the answer is wrong.
        reason: what is wrong; None where the answer is right.
    """

    share: float
    reason: str | None


@dataclass(frozen=True)
class GoldenSample:
    """A sample input, batch of one, and the outputs it must give."""

    batch: npt.NDArray[np.generic]
    outputs: Mapping[str, GoldenOutput]

    @classmethod
    def load(cls, model_dir: Path, spec: TensorSpec) -> GoldenSample:
        """Read MODEL/golden/.

        Args:
            model_dir: the model's folder in the model repository.
            spec: the model's input; the sample is the file of its name, .png or .json.

        Raises:
            FileNotFoundError: there is no sample, or no answer.
            ValueError: the sample does not have the input's shape, or the answer is not well-formed.
        """
        image_file, series = model_dir / "golden" / f"{spec.name}.png", model_dir / "golden" / f"{spec.name}.json"
        if image_file.exists():
            with Image.open(image_file) as image:
                sample = np.asarray(image, spec.dtype)
        else:
            sample = np.array(json.loads(series.read_text()), spec.dtype)
        sample = sample.reshape(spec.shape)
        answer = json.loads((model_dir / "golden" / "answer.json").read_text())
        outputs = {
            name: GoldenOutput(np.array(output["values"], np.float64), float(output["atol"]))
            for name, output in answer["outputs"].items()
        }
        return cls(sample[np.newaxis], outputs)

    def drift(self, outputs: Mapping[str, npt.NDArray[np.generic]]) -> Drift:
        """Compare all outputs of an answer, each [1, ...], with the golden answer."""
        share = 0.0
        for name, golden in self.outputs.items():
            if name not in outputs:
                return Drift(math.inf, f"output {name} is missing")
            got = np.asarray(outputs[name][0], np.float64)[: len(golden.values)]
            if got.shape != golden.values.shape:
                return Drift(math.inf, f"output {name} has shape {got.shape}, the golden answer {golden.values.shape}")
            error = float(np.abs(got - golden.values).max(initial=0.0))
            if not error <= golden.atol:  # NaN is not within it
                return Drift(math.inf, f"output {name} is off by {error:.4g}, allowed {golden.atol}")
            share = max(share, error / golden.atol if golden.atol else 0.0)
        return Drift(share, None)
