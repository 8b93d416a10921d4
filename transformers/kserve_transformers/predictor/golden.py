"""Golden samples: an input and the answer that it must give, kept beside the model in its repository."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from kserve_transformers.arrays.golden import Expected, read_answer
from kserve_transformers.predictor.declaration import TensorSpec

Outputs = Mapping[str, Expected]


@dataclass(frozen=True)
class Drift:
    """How far an answer is from the golden answer."""

    share: float  # the largest error divided by its tolerance, 0 to 1; infinite where the answer is wrong
    reason: str | None  # what is wrong; None where the answer is right
    # in which the model answered, int8 or fp32; None where it has no int8 network, or the answer is wrong
    precision: Literal["int8", "fp32"] | None = None


@dataclass(frozen=True)
class GoldenSample:
    """A sample input, batch of one, and the outputs it must give."""

    batch: npt.NDArray[np.generic]
    outputs: Outputs
    # the outputs that the int8 network of this version must give; None where it has none. Triton's backend decides by
    # the processor whether the network or the fp32 artefact serves.
    int8: Outputs | None = None

    @classmethod
    def load(cls, model_dir: Path, spec: TensorSpec, version: str) -> Self:
        """Read MODEL/golden/, and MODEL/VERSION/int8/answer.json where there is one.

        Args:
            model_dir: the model's folder in the model repository.
            spec: the model's input; the sample is the file of its name, .png or .json.
            version: that is served.

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
        int8 = model_dir / version / "int8" / "answer.json"
        answer = read_answer(model_dir / "golden" / "answer.json")
        return cls(sample[np.newaxis], answer, read_answer(int8) if int8.parent.is_dir() else None)

    def drift(self, outputs: Mapping[str, npt.NDArray[np.generic]]) -> Drift:
        """Compare all outputs of an answer, each [1, ...], with the golden answer; with that of the int8 network, too.

        An answer that is right in both precisions counts as the one that it is nearer to.
        """
        drift = self._drift(outputs, self.outputs)
        if self.int8 is None:
            return drift
        int8 = self._drift(outputs, self.int8)
        if int8.reason is None and (drift.reason or _distance(outputs, self.int8) < _distance(outputs, self.outputs)):
            return replace(int8, precision="int8")
        return drift if drift.reason else replace(drift, precision="fp32")

    def _drift(self, outputs: Mapping[str, npt.NDArray[np.generic]], expected: Outputs) -> Drift:
        share = 0.0
        for name, golden in expected.items():
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


def _distance(outputs: Mapping[str, npt.NDArray[np.generic]], expected: Outputs) -> float:
    """The largest error of a right answer, as a share of the largest value of each output."""
    errors = [
        np.abs(outputs[name][0].astype(np.float64)[: len(golden.values)] - golden.values).max(initial=0.0)
        / max(np.abs(golden.values).max(initial=0.0), 1e-9)
        for name, golden in expected.items()
    ]
    return float(max(errors, default=0.0))
