"""What a family of heads consists of."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Head
from exporters.heads.evidence import Evidence
from exporters.heads.selection import Listed, Rows
from exporters.onnx_graph import Graph

Options = Mapping[str, Any]
Values = Mapping[str, npt.NDArray[Any]]
InputHw = tuple[int, int]


class Match(NamedTuple):
    """A head that the outputs may be, and how sure that is: 0..1."""

    confidence: float
    head: Head


class Candidates(NamedTuple):
    """The candidates of one image, as the naive references decode them."""

    boxes: npt.NDArray[np.float64]  # [M,4], x1, y1, x2, y2 in 0..1 of the input
    scores: npt.NDArray[np.float64]  # [M,classes]; [M] where each box has one class
    classes: npt.NDArray[np.float64] | None = None  # [M] in this case, else None


@dataclass(frozen=True)
class Family:
    """A family of heads."""

    title: str  # for messages
    outputs: str  # what it answers, for messages
    find: Callable[[Evidence], Iterable[Match]]  # the heads of the family that outputs may be
    # the graph from the model's output tensors to candidates
    decode: Callable[[Graph, Options, InputHw], Rows | Listed]
    # the same in plain Python, written separately: the candidates of each image
    reference: Callable[[Values, Options, InputHw], list[Candidates]]
    aliases: Mapping[str, Options] = field(default_factory=dict)  # other names of it, and options that they stand for


def box_scale_wh(options: Options, input_hw: InputHw) -> tuple[float, float]:
    """Width and height of the input in the unit of the boxes."""
    return (input_hw[1], input_hw[0]) if options["pixels"] else (1, 1)
