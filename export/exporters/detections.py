"""Detections of a reference: which of them a golden answer holds, and how far an artefact's may be from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.parity import Difference
from kserve_transformers.arrays.golden import Expected

BOX_ATOL, SCORE_ATOL = 2e-3, 5e-3
_GOLDEN_ROWS = 3


@dataclass(frozen=True)
class Detections:
    """Pairs of box and class, by descending score."""

    boxes: npt.NDArray[np.float32]  # FP32 [M,4]: x1, y1, x2, y2 in 0..1 of the input, not clipped
    scores: npt.NDArray[np.float32]  # FP32 [M]: objectness times class probability
    classes: npt.NDArray[np.int32]  # INT32 [M]

    @property
    def separated(self) -> int:
        """The number of leading rows whose order does not change within the tolerance of scores."""
        close = np.flatnonzero(-np.diff(self.scores) <= 2 * SCORE_ATOL)
        return int(close[0]) if close.size else len(self.scores)


def leading(reference: Detections) -> Mapping[str, Expected]:
    """The golden answer: the first rows, and their boxes and classes as far as their order is certain."""
    rows = min(_GOLDEN_ROWS, reference.separated)
    outputs = {"scores": Expected(reference.scores[:_GOLDEN_ROWS], SCORE_ATOL)}
    if rows:
        outputs["boxes"] = Expected(reference.boxes[:rows], BOX_ATOL)
        outputs["classes"] = Expected(reference.classes[:rows], 0.0)
    return outputs


def differences(found: Mapping[str, npt.NDArray[np.generic]], reference: Detections) -> list[Difference]:
    """How far an artefact's answer is from the reference's.

    Args:
        found: boxes, scores and classes of one image, without the batch dimension; as many rows or more.
        reference: of the same image.
    """
    rows, pairs = reference.separated, len(reference.scores)
    return [
        Difference.between("scores", found["scores"][:pairs], reference.scores, SCORE_ATOL),
        Difference.between("boxes", found["boxes"][:rows], reference.boxes[:rows], BOX_ATOL),
        Difference.between("classes", found["classes"][:rows], reference.classes[:rows], 0.0),
    ]
