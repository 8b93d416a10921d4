"""ONNX detectors of drawn shapes: one trained network (train_shapes.py) behind the heads of many families."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from shapes import CLASSES, HW, STRIDES

from exporters.onnx_graph import Graph

Weights = Mapping[str, npt.NDArray[np.float32]]
Outputs = dict[str, tuple[str, int, list[int | str]]]
COUNT = len(CLASSES)
CELLS = sum(HW[0] // stride * (HW[1] // stride) for stride in STRIDES)
ANCHORS = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class Network:
    """The network in a graph, and what heads are made of.

    Attributes:
        graph: to add to.
        levels: [N,8,H,W] of each stride: offsets, logarithms of sizes, and logits of objectness and classes.
    """

    def __init__(self, weights: Weights, pixels: str = "images", scale: float = 1.0, bgr: bool = False) -> None:
        self.graph = graph = Graph("shapes")
        if bgr:
            pixels = graph.add("Gather", [pixels, graph.integers(2, 1, 0)], axis=1)
        data = graph.add("Mul", [pixels, graph.constant(scale, np.float32)])
        self.levels = []
        for stage in range(5):
            data = graph.add("Relu", [self._convolution(weights, f"stages.{stage}", data, 2)])
            if stage >= 2:
                self.levels.append(self._convolution(weights, f"heads.{stage - 2}", data, 1))

    def _convolution(self, weights: Weights, name: str, data: str, stride: int) -> str:
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        inputs = [data, self.graph.constant(kernel, np.float32), self.graph.constant(bias, np.float32)]
        return self.graph.add("Conv", inputs, strides=[stride] * 2, pads=[kernel.shape[2] // 2] * 4)

    def rows(self) -> str:
        """[N,cells,8], as the levels are."""
        graph = self.graph
        flat = [graph.add("Reshape", [level, graph.integers(0, 5 + COUNT, -1)]) for level in self.levels]
        return graph.add("Transpose", [graph.add("Concat", flat, axis=2)], perm=[0, 2, 1])

    def probabilities(self, rows: str) -> tuple[str, str]:
        """Objectness [N,cells,1], and classes [N,cells,3]."""
        values = self.graph.add("Sigmoid", [self.graph.slice(rows, 2, 4, 5 + COUNT)])
        return self.graph.slice(values, 2, 0, 1), self.graph.slice(values, 2, 1, 1 + COUNT)

    def boxes(self, rows: str) -> str:
        """[N,cells,4], centre and size in pixels."""
        graph, places, strides = self.graph, [], []
        for stride in STRIDES:
            y, x = np.mgrid[: HW[0] // stride, : HW[1] // stride].reshape(2, -1)
            places.append(np.stack([x, y], axis=1))
            strides.append(np.full((len(x), 1), stride))
        where = graph.constant(np.concatenate(places), np.float32)
        centre = graph.add("Add", [graph.slice(rows, 2, 0, 2), where])
        size = graph.add("Exp", [graph.slice(rows, 2, 2, 4)])
        pair = graph.add("Concat", [centre, size], axis=2)
        return graph.add("Mul", [pair, graph.constant(np.concatenate(strides), np.float32)])

    def decoded(self) -> tuple[str, str]:
        """Boxes in pixels, and scores [N,cells,3]."""
        rows = self.rows()
        objectness, classes = self.probabilities(rows)
        return self.boxes(rows), self.graph.add("Mul", [objectness, classes])

    def corners(self, boxes: str) -> str:
        """From centre and size in pixels to corners in 0..1."""
        graph = self.graph
        half = graph.add("Mul", [graph.slice(boxes, 2, 2, 4), graph.constant(0.5, np.float32)])
        centre = graph.slice(boxes, 2, 0, 2)
        pair = graph.add("Concat", [graph.add("Sub", [centre, half]), graph.add("Add", [centre, half])], axis=2)
        return graph.add("Div", [pair, graph.constant(HW[::-1] * 2, np.float32)])

    def best(self, count: int) -> tuple[str, str, str]:
        """Corners in 0..1 [N,count,4], scores [N,count] and classes [N,count] of the best boxes."""
        graph, (boxes, scores) = self.graph, self.decoded()
        classes = graph.add("ArgMax", [scores], axis=2, keepdims=0)
        best = graph.add("Reshape", [graph.max(scores, 2), graph.integers(0, -1)])
        values, chosen = graph.top(best, count)
        labels = graph.add("GatherElements", [classes, chosen], axis=1)
        index = graph.add("Unsqueeze", [chosen, graph.integers(2)])
        return graph.add("GatherND", [self.corners(boxes), index], batch_dims=1), values, labels

    def named(self, tensor: str, name: str) -> str:
        """Give a tensor its name."""
        return self.graph.add("Identity", [tensor], [name])

    def pixels(self, corners: str) -> str:
        """From 0..1 to pixels."""
        return self.graph.add("Mul", [corners, self.graph.constant(HW[::-1] * 2, np.float32)])


def _yolox(network: Network) -> Outputs:
    rows = network.rows()
    table = network.graph.add("Concat", [network.graph.slice(rows, 2, 0, 4), *network.probabilities(rows)], axis=2)
    network.named(table, "output")
    return {"output": (FLOAT, [CELLS, 5 + COUNT])}


def _yolov8(network: Network) -> Outputs:
    table = network.graph.add("Concat", list(network.decoded()), axis=2)
    network.graph.add("Transpose", [table], ["output0"], perm=[0, 2, 1])
    return {"output0": (FLOAT, [4 + COUNT, CELLS])}


def _yolov5(network: Network) -> Outputs:
    """Two of the three boxes in each cell have no objectness."""
    graph, rows = network.graph, network.rows()
    table = graph.add("Concat", [network.boxes(rows), *network.probabilities(rows)], axis=2)
    nothing = graph.add("Mul", [table, graph.constant([1] * 4 + [0] * (1 + COUNT), np.float32)])
    graph.add("Concat", [table, nothing, nothing], ["output0"], axis=1)
    return {"output0": (FLOAT, [3 * CELLS, 5 + COUNT])}


def _yolov3(network: Network) -> Outputs:
    """The first anchor of each cell; the others say nothing."""
    graph, outputs = network.graph, {}
    for level, (data, stride) in enumerate(zip(network.levels, STRIDES, strict=True)):
        inside = graph.add("Clip", [graph.slice(data, 1, 0, 2), *(graph.constant(v, np.float32) for v in (0.01, 0.99))])
        outside = graph.add("Sub", [graph.constant(1, np.float32), inside])
        offsets = graph.add("Log", [graph.add("Div", [inside, outside])])
        shift = np.log(stride / np.array(ANCHORS[6 * level : 6 * level + 2])).reshape(1, 2, 1, 1)
        sizes = graph.add("Add", [graph.slice(data, 1, 2, 4), graph.constant(shift, np.float32)])
        first = graph.add("Concat", [offsets, sizes, graph.slice(data, 1, 4, 5 + COUNT)], axis=1)
        silent = graph.add(
            "Sub", [graph.add("Mul", [first, graph.constant(0, np.float32)]), graph.constant(9, np.float32)]
        )
        graph.add("Concat", [first, silent, silent], [f"grid_{stride}"], axis=1)
        outputs[f"grid_{stride}"] = (FLOAT, [3 * (5 + COUNT), HW[0] // stride, HW[1] // stride])
    return outputs


def _end_to_end(network: Network) -> Outputs:
    graph, (boxes, scores, labels) = network.graph, network.best(300)
    columns = [
        graph.add("Unsqueeze", [tensor, graph.integers(2)])
        for tensor in (scores, graph.add("Cast", [labels], to=FLOAT))
    ]
    graph.add("Concat", [network.pixels(boxes), *columns], ["output0"], axis=2)
    return {"output0": (FLOAT, [300, 6])}


def _queries(network: Network, no_object: bool) -> Outputs:
    graph, (boxes, scores) = network.graph, network.decoded()
    boxes = graph.add("Div", [boxes, graph.constant(HW[::-1] * 2, np.float32)])
    network.named(boxes, "pred_boxes")
    limits = [graph.constant(value, np.float32) for value in (1e-6, 0.3333 if no_object else 0.9999)]
    scores = graph.add("Clip", [scores, *limits]) if not no_object else scores
    one = graph.constant(1, np.float32)
    if no_object:
        rest = graph.add("Sub", [one, graph.add("ReduceSum", [scores, graph.integers(2)])])
        both = graph.add("Clip", [graph.add("Concat", [scores, rest], axis=2), limits[0]])
        graph.add("Log", [both], ["logits"])
    else:
        graph.add("Log", [graph.add("Div", [scores, graph.add("Sub", [one, scores])])], ["logits"])
    return {"logits": (FLOAT, [CELLS, COUNT + no_object]), "pred_boxes": (FLOAT, [CELLS, 4])}


def _deployed(network: Network) -> Outputs:
    graph, (boxes, scores, labels) = network.graph, network.best(100)
    sizes = graph.add("Cast", ["orig_target_sizes"], to=FLOAT)
    scale = graph.add("Unsqueeze", [graph.add("Concat", [sizes, sizes], axis=1), graph.integers(1)])
    graph.add("Mul", [boxes, scale], ["boxes"])
    network.named(scores, "scores")
    network.named(labels, "labels")
    return {"labels": (INT64, [100]), "boxes": (FLOAT, [100, 4]), "scores": (FLOAT, [100])}


def _efficient_nms(network: Network) -> Outputs:
    graph, (boxes, scores, labels) = network.graph, network.best(100)
    network.named(network.pixels(boxes), "det_boxes")
    network.named(scores, "det_scores")
    graph.add("Cast", [labels], ["det_classes"], to=TensorProto.INT32)
    likely = graph.add("Cast", [graph.add("Greater", [scores, graph.constant(0.05, np.float32)])], to=TensorProto.INT32)
    graph.add("ReduceSum", [likely, graph.integers(1)], ["num_dets"], keepdims=1)
    listed = {"det_boxes": (FLOAT, [100, 4]), "det_scores": (FLOAT, [100])}
    return {"num_dets": (TensorProto.INT32, [1]), **listed, "det_classes": (TensorProto.INT32, [100])}


def _rtdetr_table(network: Network) -> Outputs:
    graph, (boxes, scores) = network.graph, network.decoded()
    boxes = graph.add("Div", [boxes, graph.constant(HW[::-1] * 2, np.float32)])
    inside = graph.add("Clip", [boxes, *(graph.constant(limit, np.float32) for limit in (0, 1))])
    graph.add("Concat", [inside, scores], ["output0"], axis=2)
    return {"output0": (FLOAT, [CELLS, 4 + COUNT])}


def _tf_od(network: Network) -> Outputs:
    graph, (boxes, scores, labels) = network.graph, network.best(100)
    graph.add("Gather", [boxes, graph.integers(1, 0, 3, 2)], ["detection_boxes"], axis=2)
    network.named(scores, "detection_scores")
    graph.add("Add", [graph.add("Cast", [labels], to=FLOAT), graph.constant(1, np.float32)], ["detection_classes"])
    likely = graph.add("Cast", [graph.add("Greater", [scores, graph.constant(0.05, np.float32)])], to=FLOAT)
    graph.add("ReduceSum", [likely, graph.integers(1)], ["num_detections"], keepdims=0)
    listed = {name: (FLOAT, [100]) for name in ("detection_scores", "detection_classes")}
    return {"detection_boxes": (FLOAT, [100, 4]), **listed, "num_detections": (FLOAT, [])}


def _torchvision(network: Network) -> Outputs:
    """With NMS, of the one image [3,H,W]."""
    graph, (boxes, scores, labels) = network.graph, network.best(100)
    byclass = graph.add("Unsqueeze", [scores, graph.integers(1)])
    limits = [
        graph.constant(value, kind) for value, kind in (([50], np.int64), ([0.5], np.float32), ([0.05], np.float32))
    ]
    kept = graph.add("NonMaxSuppression", [boxes, byclass, *limits])
    rows = graph.add("Squeeze", [graph.slice(kept, 1, 2, 3), graph.integers(1)])
    for name, tensor in (("boxes", network.pixels(boxes)), ("scores", scores), ("labels", labels)):
        values = graph.add("Gather", [graph.add("Squeeze", [tensor, graph.integers(0)]), rows], axis=0)
        if name == "labels":
            values = graph.add("Add", [values, graph.constant(1, np.int64)])
        network.named(values, name)
    return {"boxes": (FLOAT, [4]), "scores": (FLOAT, []), "labels": (INT64, [])}


def _ssd(network: Network) -> Outputs:
    """Decoded boxes in 0..1, and scores that begin with the background's."""
    graph, (boxes, scores) = network.graph, network.decoded()
    network.named(network.corners(boxes), "boxes")
    rest = graph.add("Sub", [graph.constant(1, np.float32), graph.add("ReduceSum", [scores, graph.integers(2)])])
    graph.add("Concat", [rest, scores], ["scores"], axis=2)
    return {"boxes": (FLOAT, [CELLS, 4]), "scores": (FLOAT, [CELLS, 1 + COUNT])}


@dataclass(frozen=True)
class Detector:
    """A detector in a family's form.

    Attributes:
        head: that is recognised.
        outputs: adds them to the network.
        shape: of the input, without the batch.
        batch: of the input; None: it has none.
        kind: of the input.
        scale: from pixels to 0..1, where the graph does it.
        flags: of `modelport add`, beside labels and sample.
    """

    head: str
    outputs: Callable[[Network], Outputs]
    shape: tuple[int, ...] = (3, *HW)
    batch: str | int | None = "N"
    kind: int = FLOAT
    scale: float = 1.0
    flags: tuple[str, ...] = field(default=())


DETECTORS: Mapping[str, Detector] = {
    "yolov3": Detector("yolov3", _yolov3, flags=("--head", "yolov3")),
    "yolov5": Detector("yolov5", _yolov5),
    "yolov8": Detector("yolov8", _yolov8),
    "yolov10": Detector("end_to_end", _end_to_end),
    "yolox": Detector("yolox", _yolox, scale=1 / 255),
    "ssd": Detector("boxes_scores", _ssd),
    "torchvision": Detector("torchvision", _torchvision, batch=None),
    "tf_od": Detector("tf_od", _tf_od, shape=(*HW, 3), kind=TensorProto.UINT8, scale=1 / 255),
    "detr": Detector("detr", lambda network: _queries(network, True), flags=("--normalise", "0..1")),
    "rtdetr": Detector("rtdetr", lambda network: _queries(network, False)),
    "rtdetr_deploy": Detector("rtdetr_deploy", _deployed, batch=1),
    "rtdetr_table": Detector("rtdetr_table", _rtdetr_table, flags=("--head", "rtdetr_table")),
    "efficient_nms": Detector("efficient_nms", _efficient_nms),
}


def build(name: str, weights: Weights) -> onnx.ModelProto:
    """The trained network as a detector of DETECTORS."""
    detector = DETECTORS[name]
    network = Network(weights, "pixels", detector.scale, bgr=detector.head == "yolox")
    outputs = detector.outputs(network)
    graph = network.graph
    steps = Graph("input")
    data = steps.add("Cast", ["images"], to=FLOAT)
    if detector.shape[-1] == 3:
        data = steps.add("Transpose", [data], perm=[0, 3, 1, 2])
    if detector.batch is None:
        data = steps.add("Unsqueeze", [data, steps.integers(0)])
    steps.add("Identity", [data], ["pixels"])
    batch = [] if detector.batch is None else [detector.batch]
    inputs = [helper.make_tensor_value_info("images", detector.kind, [*batch, *detector.shape])]
    if detector.head == "rtdetr_deploy":
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", INT64, [detector.batch, 2]))
    results = [
        helper.make_tensor_value_info(output, kind, [*(batch or ["K"]), *shape])
        for output, (kind, shape) in outputs.items()
    ]
    nodes, constants = [*steps.nodes, *graph.nodes], [*steps.constants, *graph.constants]
    proto = helper.make_graph(nodes, name, inputs, results, constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
