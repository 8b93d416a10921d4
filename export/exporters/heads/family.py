"""What a family of heads consists of, and what its finders share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.selection import Listed, Rows
from exporters.onnx_graph import Graph

Options = Mapping[str, Any]
Values = Mapping[str, npt.NDArray[Any]]
InputHw = tuple[int, int]

# How sure a finder is: nothing else looks like this; nothing else fits; it fits as others do; it could be.
SETTLED, LIKELY, POSSIBLE, UNLIKELY = 1.0, 0.9, 0.5, 0.1

_STRIDES = (4, 8, 16, 32, 64, 128)
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Match(NamedTuple):
    """A head that the outputs may be, and how sure that is: 0..1."""

    confidence: float
    head: Head


class Candidates(NamedTuple):
    """The candidates of one image, as the naive references decode them.

    Attributes:
        boxes: [M,4], x1, y1, x2, y2 in 0..1 of the input.
        scores: [M,classes]; [M] where each box has one class.
        classes: [M] in this case, else None.
    """

    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Family:
    """A family of heads.

    Attributes:
        title: for messages.
        outputs: what it answers, for messages.
        find: the heads of the family that outputs may be.
        decode: the graph from the model's output tensors to candidates.
        reference: the same in plain Python, written separately: the candidates of each image.
        aliases: other names of it, and options that they stand for.
    """

    title: str
    outputs: str
    find: Callable[[Evidence], Iterable[Match]]
    decode: Callable[[Graph, Options, InputHw], Rows | Listed]
    reference: Callable[[Values, Options, InputHw], list[Candidates]]
    aliases: Mapping[str, Options] = field(default_factory=dict)


def fact(what: str, value: str, source: str, sure: bool = True, flag: str = "") -> Fact:
    """A Fact with its usual defaults."""
    return Fact(what, value, source, sure, flag)


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
    return fact("boxes", value, source, seen, "" if seen else "--head")


def box_scale_wh(options: Options, input_hw: InputHw) -> tuple[float, float]:
    """Width and height of the input in the unit of the boxes."""
    return (input_hw[1], input_hw[0]) if options["pixels"] else (1, 1)
