"""What the finders of heads share: how sure they are, and what boxes and grids tell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import InputHw

_STRIDES = (4, 8, 16, 32, 64, 128)
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Sure:
    """How sure a finder is."""

    SETTLED = 1.0  # nothing else looks like this
    LIKELY = 0.9  # nothing else fits
    POSSIBLE = 0.5  # it fits as others do
    UNLIKELY = 0.1  # it could be


def stride_sets(evidence: Evidence, rows: int | None, anchors: int = 1) -> list[tuple[int, ...]]:
    """The strides of two or more grids that have this many boxes, with `anchors` in each cell."""
    if rows is None or evidence.input_hw is None:
        return []
    count = len(_STRIDES)
    levels = [_STRIDES[first:last] for first in range(3) for last in range(first + 2, count + 1)]
    return [strides for strides in levels if anchors * grid_cells(evidence.input_hw, strides) == rows]


def grid_cells(input_hw: InputHw, strides: Sequence[int]) -> int:
    """The number of cells of all grids; a grid that does not divide the input is rounded up, as convolutions do."""
    height, width = input_hw
    return sum(-(-height // stride) * -(-width // stride) for stride in strides)


def tells(values: npt.NDArray[Any] | None) -> bool:
    """Whether an answer to noise is informative: it was seen, and an export with NMS found something there."""
    return values is not None and bool(np.any(values))


def is_pixels(boxes: npt.NDArray[Any] | None) -> bool:
    """Whether boxes are in pixels of the input rather than in 0..1; they are assumed to be where nothing tells."""
    return boxes is None or not tells(boxes) or float(np.abs(boxes).max()) > 4


def within_unit(values: npt.NDArray[Any] | None) -> bool | None:
    """Whether values are probabilities; None where they were not seen."""
    return None if values is None else bool(values.size == 0 or (values.min() >= 0 and values.max() <= 1.0001))


def scale_fact(tensor: Tensor, pixels: bool) -> Fact:
    """The unit of boxes."""
    value = "pixels of the input" if pixels else "0..1 of the input"
    seen = tells(tensor.values)
    source = "the boxes that it answers to noise" if seen else "the usual one; it answers nothing to noise"
    return Fact("boxes", value, source, seen, "" if seen else "--head")
