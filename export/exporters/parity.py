"""Checks that an artefact gives the answers of the framework that its network was made in."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.errors import ArtefactRefusedError
from exporters.golden import Golden


@dataclass(frozen=True)
class Difference:
    """How far an output is from the reference's, and how far it may be; both absolute."""

    output: str
    worst: float
    allowed: float

    @classmethod
    def between(
        cls, output: str, found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic], allowed: float
    ) -> "Difference":
        """The largest difference of two arrays of one shape; of no values it is 0."""
        off = np.abs(found.astype(np.float64) - expected.astype(np.float64))
        return cls(output, float(off.max(initial=0.0)), allowed)

    @property
    def within(self) -> bool:
        """Whether the difference is allowed; what is not a number is not."""
        return self.worst <= self.allowed

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.output} differ by {self.worst:.2g}, {self.allowed:.2g} is allowed,"


def require_agreement(outputs: Mapping[str, npt.NDArray[np.generic]], golden: Golden) -> None:
    """Compare an artefact's answer to the golden request with the reference's.

    Args:
        outputs: by name, for a batch of one, with the batch dimension.
        golden: the reference's answer, without the batch dimension.

    Raises:
        ArtefactRefusedError: an output is missing, has another shape or dtype, or differs by more than its tolerance.
    """
    if outputs.keys() != golden.outputs.keys():
        raise ArtefactRefusedError(f"the artefact answers {sorted(outputs)}, not {sorted(golden.outputs)}")
    for name, expected in golden.outputs.items():
        found = outputs[name]
        if found.dtype != expected.values.dtype or found.shape[1:] != expected.values.shape:
            raise ArtefactRefusedError(
                f"{name} is {found.dtype}{list(found.shape)}, not {expected.values.dtype}{[1, *expected.values.shape]}"
            )
        off = Difference.between(name, found[0], expected.values, expected.atol)
        if not off.within:
            raise ArtefactRefusedError(
                f"{name} differs from the framework's answer by {off.worst:.2g}, more than {off.allowed:.2g}"
            )


def probability_tolerance(probabilities: npt.NDArray[np.float32]) -> float:
    """The absolute tolerance of a golden answer: 0.005, or a twentieth of the probabilities' range where that is less.

    The arithmetic of another processor changes probabilities by a thousandth of their range or less; wrong
    preprocessing or wrong weights change them by much more than a twentieth. Below a millionth, it is rounding.
    """
    return float(f"{min(0.005, max(1e-6, 0.05 * float(np.ptp(probabilities)))):.2g}")
