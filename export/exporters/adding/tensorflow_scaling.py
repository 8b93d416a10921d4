"""A TensorFlow network, and what its first operators say of how its pixels are scaled."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import tensorflow_runtime
from exporters.adding.plan import Fact

# Operators before which values are still pixels.
_PASSING = ("Cast", "Identity", "Reshape", "Transpose", "ExpandDims", "Squeeze", "StridedSlice", "ReverseV2", "Pad")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of one input."""

    call: Callable[[Any], Mapping[str, Any]]  # from a tensor to tensors by name
    name: str  # of the input
    dtype: str  # of the input, NumPy's name
    shape: tuple[int | None, ...]  # of the input, with the batch dimension; None for any

    def __call__(self, array: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """The outputs for an array, by name."""
        tf = tensorflow_runtime.start()
        return {name: np.asarray(value) for name, value in self.call(tf.constant(array, self.dtype)).items()}


def scaling(network: Network, facts: list[Fact]) -> dict[str, Any]:
    """The mean and std that pixels need before a network of images, as far as its first operators tell."""
    if network.dtype == "uint8":
        facts.append(Fact("scaling", "in the model", "its input is uint8: it scales pixels itself"))
        return {"mean": (0.0,), "std": (1.0,)}
    first = _first_arithmetic(network)
    if first is None:
        return {}
    what, factor, offset = first
    low, high = offset, 255 * factor + offset
    if abs(low) > 20 or max(abs(low), abs(high)) < 8:
        facts.append(Fact("scaling", "in the model", f"its first operators scale pixels of 0..255 ({what})"))
        return {"mean": (0.0,), "std": (1.0,)}
    if abs(factor + offset) < 8 and factor != 1:
        facts.append(Fact("scaling", "0..1", f"its first operators scale pixels of 0..1 ({what})"))
        return {"mean": (0.0,), "std": (255.0,)}
    return {}


def _first_arithmetic(network: Network) -> tuple[str, float, float] | None:
    """The first operators that scale all pixels alike, as a text, and the factor and offset that they come to."""
    tf = tensorflow_runtime.start()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    spec = tf.TensorSpec(network.shape, network.dtype)
    concrete = tf.function(network.call, input_signature=[spec], autograph=False).get_concrete_function()
    graph = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    name = next(node.name for node in graph.node if node.op == "Placeholder")
    factor, offset = 1.0, 0.0
    seen: list[str] = []
    while True:
        node = next((node for node in graph.node if name in _sources(node)), None)
        if node is None or node.op not in (*_PASSING, "Mul", "RealDiv", "Sub", "AddV2", "Add"):
            return (", ".join(seen), factor, offset) if seen else None
        if node.op not in _PASSING:
            first, second = (_constant(nodes, source) for source in _sources(node)[:2])
            value = second if first is None else first
            if value is None:
                return (", ".join(seen), factor, offset) if seen else None
            seen.append(f"{node.op} {value:.4g}")
            if node.op in ("Mul", "RealDiv"):
                share = value if node.op == "Mul" else 1 / (value or 1)
                factor, offset = factor * share, offset * share
            else:
                offset += -value if node.op == "Sub" else value
        name = node.name


def _sources(node: Any) -> list[str]:
    return [source.partition(":")[0] for source in node.input if not source.startswith("^")]


def _constant(nodes: Mapping[str, Any], name: str) -> float | None:
    """The mean of a constant, or of what is calculated of constants; None where a name is of neither."""
    import tensorflow as tf

    node = nodes[name]
    if node.op == "Const":
        return float(np.mean(tf.make_ndarray(node.attr["value"].tensor)))
    calculate = _OF_CONSTANTS.get(node.op)
    values = [_constant(nodes, source) for source in _sources(node)] if calculate else []
    return calculate(*values) if calculate and values and None not in values else None


_OF_CONSTANTS: Mapping[str, Callable[..., float]] = {
    **dict.fromkeys(("Identity", "Cast", "Reshape"), lambda value, *_: value),
    "Sqrt": np.sqrt,
    "Maximum": max,
    "AddV2": lambda one, other: one + other,
    "Mul": lambda one, other: one * other,
    "Rsqrt": lambda value: 1 / np.sqrt(value),
}
