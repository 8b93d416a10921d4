"""Model surgery: a detector's outputs are replaced by boxes, scores and classes."""

from collections.abc import Mapping
from typing import Any

import onnx.compose
from onnx import ModelProto, TensorProto, helper, version_converter

from exporters.darknet.graph import IR_VERSION, OPSET, PAIRS
from exporters.errors import UnclearModelError, first_line
from exporters.heads.evidence import image_input, inputs_of, is_sizes, tensor_of
from exporters.heads.selection import BOXES, CLASSES, SCORES, select
from exporters.heads.table import HEADS
from exporters.onnx_graph import Graph

_OLDEST_OPSET = 11  # of what is appended
_PREFIX = "model/"
_TENSORS = (
    "output",
    "outputs",
    "boxes",
    "scores",
    "classes",
    "count",
    "logits",
    "centres",
)  # options that name tensors


def append(model: ModelProto, head: str, options: Mapping[str, Any], input_hw: tuple[int, int]) -> ModelProto:
    """Replace the outputs of a detector by boxes, scores and classes.

    An input orig_target_sizes (RT-DETR, deployed) goes, too. Tensors inside the model are renamed, its inputs are not.

    Args:
        model: is not changed.
        head: a name of HEADS.
        options: of the head, as `recognise` gives them.
        input_hw: height and width of the images that the model takes.

    Raises:
        UnclearModelError: the options do not fit, or the model is older than opset 11 and cannot be converted.
    """
    result = _of_usable_opset(model)
    opset = next(entry.version for entry in result.opset_import if entry.domain in ("", "ai.onnx"))
    _without_constant_inputs(result)
    onnx.compose.add_prefix_graph(result.graph, _PREFIX, rename_inputs=False, inplace=True)
    graph = Graph("head", opset)
    _fill_in_sizes(result, graph, input_hw)
    before = len(graph.nodes)
    named = {key: _prefixed(key, value) for key, value in options.items()}
    select(graph, HEADS[head].decode(graph, named, input_hw))
    nodes = [*graph.nodes[:before], *result.graph.node, *graph.nodes[before:]]
    del result.graph.node[:], result.graph.output[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(graph.constants)
    batch = _batch(result, options)
    result.graph.output.extend(
        [
            helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, [batch, PAIRS, 4]),
            helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [batch, PAIRS]),
            helper.make_tensor_value_info(CLASSES, TensorProto.INT32, [batch, PAIRS]),
        ]
    )
    return result


def _of_usable_opset(model: ModelProto) -> ModelProto:
    """A copy, whose operators are of opset 11 or later."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset >= _OLDEST_OPSET:
        copy = ModelProto()
        copy.CopyFrom(model)
        return copy
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as exc:  # its errors have no common class
        raise UnclearModelError(
            f"the model is of opset {opset}, which ONNX cannot convert ({first_line(exc)}): "
            f"export it again with opset {OPSET}"
        ) from exc


def _without_constant_inputs(model: ModelProto) -> None:
    """Files of IR 3 list their weights among the inputs, too."""
    inputs = list(inputs_of(model))
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, IR_VERSION)


def _fill_in_sizes(model: ModelProto, graph: Graph, input_hw: tuple[int, int]) -> None:
    """Feed an input that takes the sizes of images with the size of the model's input: [N,2], width and height."""
    for value in inputs_of(model):
        if is_sizes(tensor_of(value)):
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            batch = graph.slice(graph.add("Shape", [image_input(model).name]), 0, 0, 1)
            shape = graph.add("Concat", [batch, graph.integers(2)], axis=0)
            graph.add("Expand", [graph.constant([[input_hw[1], input_hw[0]]], dtype), shape], [value.name])
            model.graph.input.remove(value)


def _prefixed(key: str, value: Any) -> Any:
    """An option, with the names that tensors have now."""
    if key not in _TENSORS or not isinstance(value, (str, list)) or value == "":
        return value
    return [f"{_PREFIX}{name}" for name in value] if isinstance(value, list) else f"{_PREFIX}{value}"


def _batch(model: ModelProto, options: Mapping[str, Any]) -> int | str:
    """The batch dimension of the outputs, which is that of the images."""
    shape = image_input(model).shape
    return 1 if options.get("max_batch_size") == 1 or len(shape) == 3 else shape[0] or "N"
