"""Nodes and constants of an ONNX graph, collected one after another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and constants. Names consist of the scope and a count, so that builds are reproducible.

    `scope` begins the names that are given next; `opset` is of ONNX's own operators, 11 or later.
    """

    def __init__(self, scope: str, opset: int = 17) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.scope = scope
        self.opset = opset

    def add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node. Returns the name of its first output."""
        name = f"{self.scope}/{operator}_{len(self.nodes)}"
        names = list(outputs) or [name]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names[0]

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add an initializer. Returns its name."""
        name = f"{self.scope}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """Add an INT64 initializer [len(values)], as shapes, axes and pads are given. Returns its name."""
        return self.constant(values, np.int64)

    def slice(self, data: str, axis: int, start: int, stop: int) -> str:
        """Part of a tensor along an axis."""
        return self.add("Slice", [data, self.integers(start), self.integers(stop), self.integers(axis)])

    def top(self, data: str, count: int) -> tuple[str, str]:
        """The largest values of each row of data [N,M] in descending order, and their indices, each [N,count]."""
        indices = f"{self.scope}/indices_{len(self.nodes)}"
        return self.add("TopK", [data, self.integers(count)], [f"{indices}_values", indices], axis=1), indices

    def max(self, data: str, axis: int) -> str:
        """The largest values along an axis, which remains with length 1."""
        if self.opset < 18:
            return self.add("ReduceMax", [data], axes=[axis])
        return self.add("ReduceMax", [data, self.integers(axis)])

    def padded(self, data: str, missing: int, rank: int, outputs: Sequence[str] = ()) -> str:
        """Zeros behind the rows of data [N,M,...]."""
        if not missing:
            return self.add("Identity", [data], outputs) if outputs else data
        pads = [0] * (2 * rank)
        pads[rank + 1] = missing
        return self.add("Pad", [data, self.integers(*pads)], outputs)
