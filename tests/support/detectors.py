"""ONNX detectors that find the same objects in every image, with the raw outputs of each family of heads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from exporters.onnx_graph import Graph

HW = (64, 96)
STRIDES = (8, 16, 32)
FINE = (HW[0] // 8, HW[1] // 8)
CELLS = sum(HW[0] // stride * (HW[1] // stride) for stride in STRIDES)

Outputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Object:
    """A box as x1, y1, x2, y2 in 0..1 of the image."""

    box: tuple[float, float, float, float]
    label: int
    score: float


# By descending score. The second reaches all edges of the image; the third has the same size as the first.
OBJECTS = (
    Object((0.25, 0.25, 0.5, 0.75), 1, 0.9),
    Object((0.0, 0.0, 1.0, 1.0), 0, 0.7),
    Object((0.5, 0.125, 0.75, 0.625), 2, 0.5),
)
CLASSES = 3


def detector(
    outputs: Mapping[str, npt.NDArray[Any]],
    hw: tuple[int, int] = HW,
    *,
    batch: int | None = None,
    opset: int = 17,
    float_type: npt.DTypeLike = np.float32,
    sizes: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A model whose float outputs are these, times the brightest value of the image, in eighths.

    Args:
        outputs: FP [1,...] or INT [1,...]; of one or two dimensions where there is no batch, as torchvision's.
        hw: of the input `images` [N,3,H,W].
        batch: N, if it is fixed.
        opset: of ONNX.
        float_type: of float inputs and outputs.
        sizes: the model has the input orig_target_sizes of RT-DETR, by which it scales `boxes`.
        metadata: of the file.
    """
    graph, results, light = Graph("made up", opset), [], "images"
    tensor_type = helper.np_dtype_to_tensor_dtype(np.dtype(float_type))
    for axis in (1, 2, 3):
        light = graph.max(light, axis)
    eight = graph.constant(8, float_type)
    eighths = graph.add("Round", [graph.add("Mul", [graph.add("Reshape", [light, graph.integers(-1)]), eight])])
    lights = graph.add("Div", [eighths, eight])
    for name, values in outputs.items():
        is_float = values.dtype.kind == "f"
        values = values.astype(float_type) if is_float else values
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        factor = graph.add("Reshape", [lights, graph.integers(-1, *[1] * (values.ndim - 1))])
        if not is_float:
            factor = graph.add("Cast", [graph.add("Sub", [factor, factor])], to=kind)
        terms = [graph.constant(values, values.dtype), factor]
        if sizes and name == "boxes":
            whwh = graph.add("Gather", ["orig_target_sizes", graph.integers(0, 1, 0, 1)], axis=1)
            whwh = graph.add("Reshape", [graph.add("Cast", [whwh], to=tensor_type), graph.integers(-1, 1, 4)])
            terms = [graph.add("Mul", terms), whwh]
        graph.add("Mul" if is_float else "Add", terms, [name])
        batched = values.ndim > 2 or (values.ndim == 2 and values.shape[0] == 1)
        declared = ["N" if batch is None else batch, *values.shape[1:]] if batched else [None, *values.shape[1:]]
        results.append(helper.make_tensor_value_info(name, kind, declared))
    inputs = [helper.make_tensor_value_info("images", tensor_type, ["N" if batch is None else batch, 3, *hw])]
    if sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2]))
    made = helper.make_graph(graph.nodes, "detector", inputs, results, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    return model


def cxcywh(box: Sequence[float], wh: Sequence[float] = (1, 1)) -> list[float]:
    """Centre and size in the unit of wh."""
    x1, y1, x2, y2 = box
    return [(x1 + x2) / 2 * wh[0], (y1 + y2) / 2 * wh[1], (x2 - x1) * wh[0], (y2 - y1) * wh[1]]


def logit(probability: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The inverse of the sigmoid; probabilities of 0 and 1 become -20 and 20."""
    clipped = np.clip(np.asarray(probability, np.float64), 2e-9, 1 - 2e-9)
    return np.clip(np.log(clipped / (1 - clipped)), -20, 20)


def table(
    objects: Sequence[Object], classes: int, rows: int = CELLS, objectness: bool = False, pixels: bool = True
) -> npt.NDArray[np.float32]:
    """[1,rows,4 + classes] or [1,rows,5 + classes], the objects in every tenth row."""
    first = 5 if objectness else 4
    values = np.zeros((1, rows, first + classes), np.float32)
    values[..., :4] = cxcywh((0.4, 0.4, 0.6, 0.6), HW[::-1] if pixels else (1, 1))
    for index, found in enumerate(objects):
        row = values[0, 10 * index + 3]
        row[:4] = cxcywh(found.box, HW[::-1] if pixels else (1, 1))
        row[first + found.label] = found.score
        if objectness:
            row[4], row[first + found.label] = 0.8, found.score / 0.8 if found.score < 0.8 else 1
            row[4] = found.score / row[first + found.label]
    return values


def cell_of(found: Object, grid: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the cell in which an object's centre lies."""
    x, y, _, _ = cxcywh(found.box)
    return int(y * grid[0]), int(x * grid[1])


def grids(objects: Sequence[Object], classes: int, anchors: Sequence[float], kind: str, layout: str) -> Outputs:
    """Raw heads of YOLOv3 ("yolov3") or YOLOv5 ("yolov5"): the objects are in the coarsest grid, at an anchor each."""
    outputs = {}
    for level, stride in enumerate(STRIDES):
        grid = HW[0] // stride, HW[1] // stride
        values = np.full((1, 3, 5 + classes, *grid), -20.0)
        values[:, :, :4] = 0
        for index, found in enumerate(objects if stride == STRIDES[-1] else ()):
            anchor_wh = anchors[6 * level + 2 * index : 6 * level + 2 * index + 2]
            row, column = cell_of(found, grid)
            x, y, w, h = cxcywh(found.box, (grid[1], grid[0]))
            ratio = np.array([w, h]) * stride / anchor_wh
            inside = np.array([x - column, y - row])
            cell = values[0, index, :, row, column]
            cell[:2] = logit(inside) if kind == "yolov3" else logit((inside + 0.5) / 2)
            cell[2:4] = np.log(ratio) if kind == "yolov3" else logit(np.sqrt(ratio) / 2)
            cell[4], cell[5 + found.label] = 20, logit(found.score)
        order = {"n,av,h,w": None, "n,h,w,av": None, "n,a,h,w,v": (0, 1, 3, 4, 2), "n,h,w,a,v": (0, 3, 4, 1, 2)}[layout]
        if order is None:
            values = values.reshape(1, -1, *grid)
            values = values.transpose(0, 2, 3, 1) if layout == "n,h,w,av" else values
        else:
            values = values.transpose(order)
        outputs[f"level_{level}"] = values.astype(np.float32)
    return outputs


def yolox(objects: Sequence[Object], classes: int) -> npt.NDArray[np.float32]:
    """Offsets from the cells of the finest grid."""
    values = np.zeros((1, CELLS, 5 + classes), np.float32)
    values[..., :2] = 0.5
    for found in objects:
        row, column = cell_of(found, FINE)
        x, y, w, h = cxcywh(found.box, (FINE[1], FINE[0]))
        cell = values[0, row * FINE[1] + column]
        cell[:5] = x - column, y - row, np.log(w), np.log(h), 1
        cell[5 + found.label] = found.score
    return values


def listed(objects: Sequence[Object], wh: Sequence[float] = (1, 1), first: int = 0, rows: int = 0) -> Outputs:
    """Boxes, scores and classes [1,K,...] in any order; `rows` of them, the rest zeros."""
    objects = objects[::-1]
    rows = max(rows, len(objects))
    boxes, scores, labels = (
        np.zeros((1, rows, 4), np.float32),
        np.zeros((1, rows), np.float32),
        np.zeros((1, rows), np.int64),
    )
    for row, found in enumerate(objects):
        boxes[0, row] = np.multiply(found.box, (*wh, *wh))
        scores[0, row], labels[0, row] = found.score, found.label + first
    return {"boxes": boxes, "scores": scores, "labels": labels}


@dataclass(frozen=True)
class Family:
    """How the objects look in the outputs of a family.

    Attributes:
        head: name of the head that is recognised.
        outputs: from objects and the number of classes to the raw outputs.
        model: arguments of `detector`.
        labels: whether the number of labels is needed to recognise it.
        stated: what the user has to state by --head.
        sure: whether nothing has to be stated.
    """

    head: str
    outputs: Callable[[Sequence[Object], int], Outputs]
    model: Mapping[str, Any] = field(default_factory=dict)
    labels: bool = False
    stated: str = ""
    sure: bool = True


ANCHORS = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
WH = HW[::-1]


def _end_to_end(objects: Sequence[Object], order: Sequence[int] = range(6), rows: int = 300) -> npt.NDArray[np.float32]:
    found = listed(objects[::-1], WH, rows=rows)
    values = np.concatenate([found["boxes"], found["scores"][..., None], found["labels"][..., None]], axis=2)
    return values[..., list(order)].astype(np.float32)


def _queries(
    objects: Sequence[Object], classes: int, no_object: bool, names: tuple[str, str] = ("logits", "pred_boxes")
) -> Outputs:
    logits = np.full((1, 100, classes + no_object), -20, np.float32)
    if no_object:
        logits[..., -1] = 0
    boxes = np.full((1, 100, 4), 0.5, np.float32)
    for row, found in enumerate(objects):
        boxes[0, 9 * row] = cxcywh(found.box)
        logits[0, 9 * row, found.label] = logit(found.score)
    return {names[0]: logits, names[1]: boxes}


def _pairs(objects: Sequence[Object], classes: int, background: bool = False, pixels: bool = True) -> Outputs:
    values = table(objects, classes, pixels=pixels)
    centres, scores = values[..., :4], values[..., 4:]
    boxes = np.concatenate([centres[..., :2] - centres[..., 2:] / 2, centres[..., :2] + centres[..., 2:] / 2], axis=2)
    if background:
        scores = np.concatenate([1 - scores.sum(axis=2, keepdims=True), scores], axis=2)
    return {"boxes": boxes, "scores": scores}


def _tf_od(objects: Sequence[Object]) -> Outputs:
    found = listed(objects, first=1, rows=100)
    found["scores"][0, len(objects) :] = 0.99  # what is behind num_detections does not count
    return {
        "detection_boxes": found["boxes"][..., [1, 0, 3, 2]],
        "detection_scores": found["scores"],
        "detection_classes": found["labels"].astype(np.float32),
        "num_detections": np.array([len(objects)], np.int32),
    }


def _efficient_nms(objects: Sequence[Object]) -> Outputs:
    found = listed(objects, WH, rows=100)
    count = np.array([[len(objects)]], np.int32)
    return {
        "num_dets": count,
        "det_boxes": found["boxes"],
        "det_scores": found["scores"],
        "det_classes": found["labels"],
    }


def _torchvision(objects: Sequence[Object], names: Sequence[str] = ("boxes", "scores", "labels")) -> Outputs:
    found = listed(objects, WH, first=1).values()
    return {name: values[0] for name, values in zip(names, found, strict=True)}


def _yolov7_nms(objects: Sequence[Object]) -> Outputs:
    values = _end_to_end(objects, order=(5, 0, 1, 2, 3, 5, 4), rows=0)[0]
    values[:, 0] = 0
    return {"output": values}


ULTRALYTICS = {
    "author": "Ultralytics",
    "task": "detect",
    "names": "{0: 'disc', 1: 'square', 2: 'ring'}",
    "stride": "32",
}
_ONE = {"batch": 1}

FAMILIES: Mapping[str, Family] = {
    "YOLOv3": Family("yolov3", lambda o, c: grids(o, c, ANCHORS, "yolov3", "n,av,h,w"), sure=False),
    "YOLOv3, NHWC": Family("yolov3", lambda o, c: grids(o, c, ANCHORS, "yolov3", "n,h,w,av"), sure=False),
    "YOLOv4, rank 5": Family(
        "yolov3", lambda o, c: grids(o, c, ANCHORS, "yolov3", "n,h,w,a,v"), stated="yolov3", sure=False
    ),
    "YOLOv5, raw": Family("yolov5_raw", lambda o, c: grids(o, c, ANCHORS, "yolov5", "n,a,h,w,v"), sure=False),
    "YOLOv5": Family("yolov5", lambda o, c: {"output0": table(o, c, 3 * CELLS, objectness=True)}),
    "YOLOv6": Family("yolov5", lambda o, c: {"outputs": np.insert(table(o, c), 4, 1, axis=2)}),
    "YOLOv8": Family("yolov8", lambda o, c: {"output0": table(o, c).transpose(0, 2, 1)}),
    "YOLO11, metadata": Family(
        "yolov8", lambda o, c: {"output0": table(o, c).transpose(0, 2, 1)}, {"metadata": ULTRALYTICS}
    ),
    "YOLOv8, turned": Family("yolov8", lambda o, c: {"output0": table(o, c)}, labels=True, sure=False),
    "YOLOv10": Family("end_to_end", lambda o, c: {"output0": _end_to_end(o)}),
    "YOLO26, metadata": Family(
        "end_to_end", lambda o, c: {"output0": _end_to_end(o)}, {"metadata": {**ULTRALYTICS, "end2end": "True"}}
    ),
    "PaddleDetection": Family("end_to_end", lambda o, c: {"out": _end_to_end(o, (5, 4, 0, 1, 2, 3), rows=0)[0]}, _ONE),
    "YOLOv7, NMS": Family("end_to_end", lambda o, c: _yolov7_nms(o), _ONE),
    "YOLOX": Family("yolox", lambda o, c: {"output": yolox(o, c)}),
    "YOLOX, decoded": Family("yolox", lambda o, c: {"output": table(o, c, objectness=True)}, labels=True, sure=False),
    "torchvision": Family("torchvision", lambda o, c: _torchvision(o), _ONE),
    "torchvision, unnamed": Family("torchvision", lambda o, c: _torchvision(o, ("1042", "1043", "1057")), _ONE),
    "TF OD API": Family("tf_od", lambda o, c: _tf_od(o), _ONE),
    "EfficientNMS": Family("efficient_nms", lambda o, c: _efficient_nms(o), _ONE),
    "DETR": Family("detr", lambda o, c: _queries(o, c, no_object=True)),
    "RT-DETR": Family("rtdetr", lambda o, c: _queries(o, c, no_object=False)),
    "RF-DETR": Family("rtdetr", lambda o, c: _queries(o, c, no_object=False, names=("labels", "dets"))),
    "RT-DETR, deployed": Family("rtdetr_deploy", lambda o, c: listed(o, rows=300), {"sizes": True}),
    "RT-DETR, Ultralytics": Family(
        "rtdetr_table",
        lambda o, c: {"output0": table(o, c, 300, pixels=False)},
        {"metadata": {**ULTRALYTICS, "description": "Ultralytics RT-DETR-l model"}},
    ),
    "YOLO-NAS": Family("boxes_scores", lambda o, c: _pairs(o, c)),
    "YOLOv4 in PyTorch": Family(
        "boxes_scores",
        lambda o, c: {"boxes": _pairs(o, c, pixels=False)["boxes"][:, :, None], "confs": _pairs(o, c)["scores"]},
    ),
    "PP-YOLOE": Family(
        "boxes_scores", lambda o, c: {"b": _pairs(o, c)["boxes"], "s": _pairs(o, c)["scores"].transpose(0, 2, 1)}
    ),
    "SSD, decoded": Family("boxes_scores", lambda o, c: _pairs(o, c, background=True, pixels=False)),
}
