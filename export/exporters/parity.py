"""Checks that an artefact gives the answers of the framework that its network was made in."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from exporters.errors import ArtefactRefusedError
from exporters.golden import Golden


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
        off = float(np.max(np.abs(found[0].astype(np.float64) - expected.values.astype(np.float64))))
        if not off <= expected.atol:
            raise ArtefactRefusedError(
                f"{name} differs from the framework's answer by {off:.2g}, more than {expected.atol:.2g}"
            )


def probability_tolerance(probabilities: npt.NDArray[np.float32]) -> float:
    """The absolute tolerance of a golden answer: 0.005, or a twentieth of the probabilities' range where that is less.

    The arithmetic of another processor changes probabilities by a thousandth of their range or less; wrong
    preprocessing or wrong weights change them by much more than a twentieth.
    """
    return float(f"{min(0.005, 0.05 * float(np.ptp(probabilities))):.2g}")
