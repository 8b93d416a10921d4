"""Naive references: the outputs of the original model, decoded in plain Python."""

import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.darknet.graph import PAIRS
from exporters.heads.family import Candidates
from exporters.heads.selection import OUTPUTS
from exporters.heads.table import HEADS


def reference(
    outputs: Mapping[str, npt.NDArray[Any]], head: str, options: Mapping[str, Any], input_hw: tuple[int, int]
) -> dict[str, npt.NDArray[Any]]:
    """Decode the outputs of the original model in plain Python, for comparisons with what `append` makes.

    Args:
        outputs: by name.
        head: as for `append`.
        options: as for `append`.
        input_hw: as for `append`.

    Returns:
        boxes FP32 [N,300,4], scores FP32 [N,300], classes INT32 [N,300].
    """
    images = [_best(candidates) for candidates in HEADS[head].reference(outputs, options, input_hw)]
    return {name: np.stack(rows) for name, rows in zip(OUTPUTS, zip(*images, strict=True), strict=True)}


def _best(found: Candidates) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """The best PAIRS pairs; of equal scores, first those of the box with the higher best score."""
    pairs: list[tuple[float, float, int, int]] = []
    for row, scores in enumerate(found.scores):
        if found.classes is not None:
            pairs.append((-float(scores), 0.0, row, int(found.classes[row])))
        else:
            best = float(scores.max(initial=0))
            pairs += [(-float(score), -best, row, label) for label, score in enumerate(scores)]
    pairs = heapq.nsmallest(PAIRS, pairs)
    boxes, kept = np.zeros((PAIRS, 4), np.float32), np.zeros(PAIRS, np.float32)
    classes = np.zeros(PAIRS, np.int32)
    for place, (score, _, row, label) in enumerate(pairs):
        boxes[place], kept[place], classes[place] = found.boxes[row], -score, label
    return boxes, kept, classes
