"""A Darknet network as an ONNX graph that maps images to detections.

`images` UINT8 [N,H,W,3] (RGB) to the best PAIRS pairs of box and class of each image, by descending score:
`boxes` FP32 [N,PAIRS,4] (x1, y1, x2, y2; 0..1 of the input, not clipped), `scores` FP32 [N,PAIRS] (objectness times
class probability) and `classes` INT32 [N,PAIRS]. A network with fewer pairs fills the rest with zeros.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper

from exporters.darknet.layers import Convolutional, Layer, Maxpool, Network, Route, Shape, Shortcut, Upsample, Yolo
from exporters.darknet.weights import Convolution
from exporters.onnx_graph import Graph

PAIRS = 300
OPSET, IR_VERSION = 17, 8


def build_graph(network: Network, convolutions: Mapping[int, Convolution]) -> ModelProto:
    """Build the graph of a network; the same network gives the same bytes.

    Args:
        network: as read_cfg gives it.
        convolutions: as read_weights gives them.
    """
    graph = Graph("picture")  # as in published artefacts: another name would be another artefact
    shapes = network.shapes()
    nchw = graph.add("Transpose", ["images"], perm=[0, 3, 1, 2])
    pixels = graph.add("Cast", [nchw], to=TensorProto.FLOAT)
    image = graph.add("Mul", [pixels, graph.constant(1 / 255, np.float32)])
    outputs: list[str] = []
    for index, layer in enumerate(network.layers):
        inputs = [outputs[source] if source >= 0 else image for source in layer.sources]
        before = [
            shapes[source] if source >= 0 else Shape(3, network.height, network.width) for source in layer.sources
        ]
        graph.scope = f"layer_{index}"
        if isinstance(layer, Convolutional):
            outputs.append(_convolutional(graph, layer, inputs[0], convolutions[index]))
        else:
            outputs.append(_layer(graph, layer, inputs, before, shapes[index]))
    graph.scope = "detections"
    _detections(graph, network, [(outputs[index], shapes[index], head) for index, head in network.heads])
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", network.height, network.width, 3])
    results = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", PAIRS, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", PAIRS]),
        helper.make_tensor_value_info("classes", TensorProto.INT32, ["N", PAIRS]),
    ]
    proto = helper.make_graph(graph.nodes, "detector", [images], results, graph.constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(proto, opset_imports=[opset], ir_version=IR_VERSION, producer_name="exporters.darknet")


def _layer(graph: Graph, layer: Layer, inputs: Sequence[str], before: Sequence[Shape], after: Shape) -> str:
    match layer:
        case Maxpool():
            return _maxpool(graph, layer, inputs[0], before[0], after)
        case Upsample():
            scales = graph.constant([1, 1, layer.stride, layer.stride], np.float32)
            inputs = [inputs[0], "", scales]
            return graph.add("Resize", inputs, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        case Route():
            parts = [_part(graph, layer, data, shape) for data, shape in zip(inputs, before, strict=True)]
            return parts[0] if len(parts) == 1 else graph.add("Concat", parts, axis=1)
        case Shortcut():
            return _activated(graph, graph.add("Add", inputs), layer.activation)
        case _:
            return inputs[0]


def _convolutional(graph: Graph, layer: Convolutional, data: str, convolution: Convolution) -> str:
    kernel = graph.constant(convolution.kernel, np.float32)
    bias = graph.constant(convolution.bias, np.float32)
    result = graph.add(
        "Conv",
        [data, kernel, bias],
        kernel_shape=[layer.size] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.padding] * 4,
        group=layer.groups,
    )
    return _activated(graph, result, layer.activation)


def _activated(graph: Graph, data: str, activation: str) -> str:
    match activation:
        case "leaky":
            return graph.add("LeakyRelu", [data], alpha=0.1)
        case "relu":
            return graph.add("Relu", [data])
        case "logistic":
            return graph.add("Sigmoid", [data])
        case "mish":
            return graph.add("Mul", [data, graph.add("Tanh", [graph.add("Softplus", [data])])])
        case _:
            return data


def _maxpool(graph: Graph, layer: Maxpool, data: str, before: Shape, after: Shape) -> str:
    """Darknet pads half of the padding (rounded down) above and left, and below and right as far as windows reach."""
    first = layer.padding // 2
    last = [
        max(0, (size - 1) * layer.stride + layer.size - source - first)
        for source, size in ((before.height, after.height), (before.width, after.width))
    ]
    kernel, strides = [layer.size] * 2, [layer.stride] * 2
    return graph.add("MaxPool", [data], kernel_shape=kernel, strides=strides, pads=[first, first, *last])


def _part(graph: Graph, layer: Route, data: str, shape: Shape) -> str:
    if layer.groups == 1:
        return data
    size = shape.channels // layer.groups
    return graph.slice(data, 1, layer.group * size, (layer.group + 1) * size)


def _detections(graph: Graph, network: Network, heads: Sequence[tuple[str, Shape, Yolo]]) -> None:
    """Decode the heads and keep the PAIRS pairs with the highest scores.

    The PAIRS best pairs belong to the PAIRS boxes whose best class has the highest scores. These boxes are selected
    first, and the scores of all classes are computed for them alone: the result equals a top-k over all pairs.
    """
    chosen_count = min(PAIRS, sum(len(head.anchors) * shape.height * shape.width for _, shape, head in heads))
    rows = [rows_of(graph, data, shape, head) for data, shape, head in heads]
    raw = rows[0] if len(rows) == 1 else graph.add("Concat", rows, axis=1)  # [N, boxes, 5 + classes]

    best_class = graph.add("ReduceMax", [graph.slice(raw, 2, 5, 5 + network.classes)], axes=[2])
    best = graph.add("Mul", [graph.add("Sigmoid", [graph.slice(raw, 2, 4, 5)]), graph.add("Sigmoid", [best_class])])
    _, chosen = graph.top(graph.add("Squeeze", [best, graph.integers(2)]), chosen_count)
    raw = _gather(graph, raw, chosen)  # [N, chosen, 5 + classes]

    probabilities = graph.add("Sigmoid", [graph.slice(raw, 2, 4, 5 + network.classes)])
    objectness = graph.slice(probabilities, 2, 0, 1)
    scores = graph.add("Mul", [graph.slice(probabilities, 2, 1, 1 + network.classes), objectness])
    pairs = min(PAIRS, chosen_count * network.classes)
    values, pair = graph.top(graph.add("Reshape", [scores, graph.integers(0, -1)]), pairs)
    classes = graph.integers(network.classes)
    row = graph.add("Div", [pair, classes])
    label = graph.add("Cast", [graph.add("Mod", [pair, classes])], to=TensorProto.INT32)

    where = places([(shape, head) for _, shape, head in heads], network.width, network.height)
    place = graph.add("Gather", [graph.constant(where, np.float32), chosen], axis=0)
    boxes = corners(graph, graph.slice(raw, 2, 0, 4), place)
    graph.padded(_gather(graph, boxes, row), PAIRS - pairs, rank=3, outputs=["boxes"])
    graph.padded(values, PAIRS - pairs, rank=2, outputs=["scores"])
    graph.padded(label, PAIRS - pairs, rank=2, outputs=["classes"])


def rows_of(graph: Graph, data: str, shape: Shape, head: Yolo) -> str:
    """From [N, anchors * (5 + classes), H, W] to one row a box: [N, anchors * H * W, 5 + classes]."""
    anchors, values = len(head.anchors), 5 + head.classes
    split = graph.add("Reshape", [data, graph.integers(0, anchors, values, shape.height * shape.width)])
    last = graph.add("Transpose", [split], perm=[0, 1, 3, 2])
    return graph.add("Reshape", [last, graph.integers(0, -1, values)])


def places(heads: Sequence[tuple[Shape, Yolo]], width: int, height: int) -> npt.NDArray[np.float64]:
    """For each box [boxes, 6]: scale of the centre (x, y), offset of the centre (x, y), half of the anchor (w, h).

    Args:
        heads: the grid of each head, and the head; its anchors are in pixels of the input.
        width: of the input.
        height: of the input.
    """
    found = []
    for (_, rows, columns), head in heads:
        for anchor_width, anchor_height in head.anchors:
            y, x = np.mgrid[:rows, :columns].reshape(2, -1)
            margin = (head.scale_x_y - 1) / 2
            place = (
                np.full(x.shape, head.scale_x_y / columns),
                np.full(x.shape, head.scale_x_y / rows),
                (x - margin) / columns,
                (y - margin) / rows,
                np.full(x.shape, anchor_width / width / 2),
                np.full(x.shape, anchor_height / height / 2),
            )
            found.append(np.stack(place, axis=1))
    return np.concatenate(found)


def corners(graph: Graph, raw: str, place: str) -> str:
    """Decode raw boxes (tx, ty, tw, th). Source: get_yolo_box in Darknet's yolo_layer.c."""
    sigmoid = graph.add("Sigmoid", [graph.slice(raw, 2, 0, 2)])
    scaled = graph.add("Mul", [sigmoid, graph.slice(place, 2, 0, 2)])
    centre = graph.add("Add", [scaled, graph.slice(place, 2, 2, 4)])
    half = graph.add("Mul", [graph.add("Exp", [graph.slice(raw, 2, 2, 4)]), graph.slice(place, 2, 4, 6)])
    return graph.add("Concat", [graph.add("Sub", [centre, half]), graph.add("Add", [centre, half])], axis=2)


def _gather(graph: Graph, data: str, rows: str) -> str:
    """Rows [N, M] out of data [N, rows, values]."""
    return graph.add("GatherND", [data, graph.add("Unsqueeze", [rows, graph.integers(2)])], batch_dims=1)
