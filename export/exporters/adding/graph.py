"""ONNX surgery: a user's network between our input and our outputs.

The operators that are added mean the same in every opset that is served (9 to 22).
"""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, compose, helper, version_converter

from exporters import heads
from exporters.adding.plan import Plan
from exporters.errors import ArtefactRefusedError, first_line
from exporters.onnx_graph import Graph

MIN_OPSET, MAX_OPSET = 9, 22
MAX_IR_VERSION = 10  # of ONNX Runtime in the Triton image
PAIRS = 300
_ORIGINAL = "original/"
_GREY = (0.299, 0.587, 0.114)


def build_graph(model: ModelProto, plan: Plan) -> ModelProto:
    """The served graph.

    Args:
        model: the original, checked.
        plan: of the artefact; size, layout and the like are those of the original.

    Raises:
        ArtefactRefusedError: the parts do not fit together.
    """
    try:
        network = _dynamic_batch(_served_opset(model))
        if plan.task == "detection":
            network = heads.append(_in_fp32(network), plan.head, plan.head_options, plan.size_hw)
        network = compose.add_prefix(network, _ORIGINAL)
        (given,) = inputs_of(network)
        before, after = Graph("modelport/before"), Graph("modelport/after")
        (_windows if plan.task == "anomaly" else _pixels)(before, plan, given)
        _RESULTS[plan.task](after, plan, [output.name for output in network.graph.output])
        graph = network.graph
        nodes = [*before.nodes, *graph.node, *after.nodes]
        weights = {tensor.name for tensor in graph.initializer}
        del graph.node[:], graph.output[:], graph.value_info[:]
        kept = [value for value in graph.input if value.name in weights]
        del graph.input[:]
        graph.node.extend(nodes)
        graph.initializer.extend([*before.constants, *after.constants])
        graph.input.extend([_declared_input(plan), *kept])
        graph.output.extend(_declared_outputs(plan))
        checker.check_model(network)
    except (checker.ValidationError, ValueError, RuntimeError) as exc:
        raise ArtefactRefusedError(f"the model cannot be given our input and outputs ({first_line(exc)})") from exc
    return network


def _served_opset(model: ModelProto) -> ModelProto:
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    wanted = min(max(opset, MIN_OPSET), MAX_OPSET)
    if wanted != opset:
        model = version_converter.convert_version(model, wanted)
    copy = ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = min(max(copy.ir_version, 4), MAX_IR_VERSION)
    return copy


def inputs_of(model: ModelProto) -> list[ValueInfoProto]:
    """What a caller gives: files of former IR versions name their weights among the inputs, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _dynamic_batch(model: ModelProto) -> ModelProto:
    """Any batch size in what the graph declares; whether its operators allow it is tried out later."""
    for value in (*inputs_of(model), *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    return model


def _in_fp32(model: ModelProto) -> ModelProto:
    """The same network, whose outputs of other floating-point types are FP32."""
    for output in model.graph.output:
        kind = output.type.tensor_type
        if kind.elem_type in (TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16):
            name = f"{output.name}_fp32"
            for node in model.graph.node:
                for index, made in enumerate(node.output):
                    if made == output.name:
                        node.output[index] = name
                for index, used in enumerate(node.input):
                    if used == output.name:
                        node.input[index] = name
            model.graph.node.append(helper.make_node("Cast", [name], [output.name], to=TensorProto.FLOAT))
            kind.elem_type = TensorProto.FLOAT
    return model


def _pixels(nodes: Graph, plan: Plan, given: ValueInfoProto) -> None:
    """From UINT8 [N,H,W,C] RGB to what the original takes."""
    channels_last = plan.layout == "nhwc"
    data = plan.input
    if plan.channels == 1 and plan.task != "digits":
        data = nodes.add("Cast", [data], to=TensorProto.FLOAT)
        data = nodes.add("MatMul", [data, nodes.constant(np.reshape(_GREY, (3, 1)), np.float32)])
    elif plan.channel_order == "bgr":
        data = nodes.add("Gather", [data, nodes.integers(2, 1, 0)], axis=3)
    if not channels_last:
        data = nodes.add("Transpose", [data], perm=[0, 3, 1, 2])
    shape = [1, 1, 1, -1] if channels_last else [1, -1, 1, 1]
    _scaled(nodes, plan, data, shape, given)


def _windows(nodes: Graph, plan: Plan, given: ValueInfoProto) -> None:
    """From FP32 [N,length] to what the original takes, such as [N,length,1]."""
    dims = [dim.dim_value or None for dim in given.type.tensor_type.shape.dim][1:]
    data = plan.input
    if len(dims) > 1:
        free = plan.length // int(np.prod([size or 1 for size in dims]))
        shape = [-1, *(size or free for size in dims)]
        data = nodes.add("Reshape", [data, nodes.integers(*shape)])
    _scaled(nodes, plan, data, [1] * (1 + len(dims)), given)


def _scaled(nodes: Graph, plan: Plan, data: str, shape: Sequence[int], given: ValueInfoProto) -> None:
    """(value - mean) / std in FP32, then in the type that the original takes."""
    kind = given.type.tensor_type.elem_type
    if kind == TensorProto.FLOAT or any(plan.mean) or any(value != 1 for value in plan.std):
        data = nodes.add("Cast", [data], to=TensorProto.FLOAT)
    if any(plan.mean):
        data = nodes.add("Sub", [data, nodes.constant(np.reshape(plan.mean, shape), np.float32)])
    if any(value != 1 for value in plan.std):
        data = nodes.add("Div", [data, nodes.constant(np.reshape(plan.std, shape), np.float32)])
    nodes.add("Cast", [data], [given.name], to=kind)


def _rows(nodes: Graph, plan: Plan, data: str, output: str = "") -> str:
    """As many rows as the input has, by a length that cannot be known before.

    Triton wants a free batch dimension, even of a network that takes one image; such a network fails for two.
    """
    rows = nodes.add("Gather", [nodes.add("Shape", [plan.input]), nodes.integers(0)], axis=0)
    ones = nodes.add("ConstantOfShape", [rows], value=helper.make_tensor("value", TensorProto.INT64, [1], [1]))
    indices = nodes.add("Reshape", [nodes.add("NonZero", [ones]), nodes.integers(-1)])
    return nodes.add("Gather", [data, indices], [output] if output else [], axis=0)


def _boxes(nodes: Graph, plan: Plan, outputs: Sequence[str]) -> None:
    for name, output in zip(plan.outputs, outputs, strict=True):
        _rows(nodes, plan, output, name)


def _probabilities(nodes: Graph, plan: Plan, outputs: Sequence[str]) -> None:
    (wanted,) = (output for output in outputs if output == _ORIGINAL + plan.original_outputs[0])
    data = nodes.add("Flatten", [nodes.add("Cast", [wanted], to=TensorProto.FLOAT)], axis=1)
    if plan.activation == "softmax":
        data = nodes.add("Softmax", [data], axis=1)
    _rows(nodes, plan, data, plan.outputs[0])


def _reconstruction(nodes: Graph, plan: Plan, outputs: Sequence[str]) -> None:
    """The reconstruction in the unit of the series, and its mean absolute error."""
    (wanted,) = (output for output in outputs if output == _ORIGINAL + plan.original_outputs[0])
    data = nodes.add("Flatten", [nodes.add("Cast", [wanted], to=TensorProto.FLOAT)], axis=1)
    data = _rows(nodes, plan, data)
    data = nodes.add("Mul", [data, nodes.constant(plan.std, np.float32)])
    rebuilt, mae = plan.outputs
    nodes.add("Add", [data, nodes.constant(plan.mean, np.float32)], [rebuilt])
    off = nodes.add("Abs", [nodes.add("Sub", [plan.input, rebuilt])])
    nodes.add("MatMul", [off, nodes.constant(np.full((plan.length, 1), 1 / plan.length), np.float32)], [mae])


_RESULTS = {"detection": _boxes, "classification": _probabilities, "digits": _probabilities, "anomaly": _reconstruction}


def _declared_input(plan: Plan) -> ValueInfoProto:
    if plan.task == "anomaly":
        return helper.make_tensor_value_info(plan.input, TensorProto.FLOAT, ["N", plan.length])
    channels = 1 if plan.task == "digits" else 3
    return helper.make_tensor_value_info(plan.input, TensorProto.UINT8, ["N", *plan.size_hw, channels])


def _declared_outputs(plan: Plan) -> list[ValueInfoProto]:
    float32, int32 = TensorProto.FLOAT, TensorProto.INT32
    described = {
        "detection": ((float32, [PAIRS, 4]), (float32, [PAIRS]), (int32, [PAIRS])),
        "anomaly": ((float32, [plan.length]), (float32, [1])),
    }.get(plan.task, ((float32, [len(plan.labels)]),))
    return [
        helper.make_tensor_value_info(name, kind, ["N", *dims])
        for name, (kind, dims) in zip(plan.outputs, described, strict=True)
    ]
