"""The end of every detector's graph: from decoded candidates to the best 300 of each image.

All tensors are FP32; boxes are x1, y1, x2, y2 in 0..1 of the model's input. Only operators of opset 11 are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from exporters.darknet.graph import PAIRS
from exporters.onnx_graph import Graph

BOXES, SCORES, CLASSES = OUTPUTS = "boxes", "scores", "classes"


@dataclass(frozen=True)
class Rows:
    """Boxes that have a score for each class."""

    boxes: str  # [N,rows,4]
    scores: str  # [N,rows,classes]
    rows: int  # how many boxes
    classes: int  # how many classes
    objectness: str | None = None  # [N,rows,1], a factor of all scores of a box
    logits: bool = False  # the sigmoid has still to be taken of scores and objectness
    root: bool = False  # the square root of the product is the score (FCOS)


@dataclass(frozen=True)
class Listed:
    """Boxes that have one class each, of any number K that can differ from run to run.

    Boxes are [N,K,4], scores [N,K], classes [N,K], whole numbers from 0 as FP32.
    """

    boxes: str
    scores: str
    classes: str


def select(graph: Graph, found: Rows | Listed) -> None:
    """Add what makes the outputs: boxes [N,300,4], scores [N,300] and classes INT32 [N,300].

    They are in descending order of the scores. Of equal ones, those of the box whose best score is higher come first,
    and then those that come first in the model's own output. Missing ones are zeros.
    """
    if isinstance(found, Listed):
        _listed(graph, found)
    else:
        _pairs(graph, found)


def _pairs(graph: Graph, found: Rows) -> None:
    """The best pairs of box and class.

    They belong to the boxes whose best class has the highest scores, so these boxes are selected first.
    """
    best = _score(graph, found, graph.max(found.scores, 2), found.objectness)
    count = min(PAIRS, found.rows)
    _, chosen = graph.top(graph.add("Reshape", [best, graph.integers(0, -1)]), count)
    objectness = found.objectness and gather(graph, found.objectness, chosen, 1)
    scores = _score(graph, found, gather(graph, found.scores, chosen, found.classes), objectness)
    pairs = min(PAIRS, count * found.classes)
    values, pair = graph.top(graph.add("Reshape", [scores, graph.integers(0, -1)]), pairs)
    classes = graph.integers(found.classes)
    label = graph.add("Cast", [graph.add("Mod", [pair, classes])], to=TensorProto.FLOAT)
    boxes = gather(graph, gather(graph, found.boxes, chosen, 4), graph.add("Div", [pair, classes]), 4)
    missing = PAIRS - pairs
    graph.add("Identity", [graph.padded(boxes, missing, rank=3)], [BOXES])
    graph.add("Identity", [graph.padded(values, missing, rank=2)], [SCORES])
    graph.add("Cast", [graph.padded(label, missing, rank=2)], [CLASSES], to=TensorProto.INT32)


def _score(graph: Graph, found: Rows, scores: str, objectness: str | None) -> str:
    factors = [scores, objectness] if objectness else [scores]
    if found.logits:
        factors = [graph.add("Sigmoid", [factor]) for factor in factors]
    product = graph.add("Mul", factors) if objectness else factors[0]
    return graph.add("Sqrt", [product]) if found.root else product


def _listed(graph: Graph, found: Listed) -> None:
    """Padding comes first: K may be less than 300 in one run and more in the next."""
    scores = graph.padded(found.scores, PAIRS, rank=2)
    values, chosen = graph.top(scores, PAIRS)
    graph.add("Identity", [values], [SCORES])
    graph.add("Identity", [gather(graph, graph.padded(found.boxes, PAIRS, rank=3), chosen, 4)], [BOXES])
    classes = graph.add("GatherElements", [graph.padded(found.classes, PAIRS, rank=2), chosen], axis=1)
    graph.add("Cast", [classes], [CLASSES], to=TensorProto.INT32)


def gather(graph: Graph, data: str, rows: str, width: int) -> str:
    """Rows [N,M] of data [N,R,width]."""
    column = graph.add("Reshape", [rows, graph.integers(0, -1, 1)])
    return graph.add("GatherElements", [data, graph.add("Expand", [column, graph.integers(1, 1, width)])], axis=1)


def floats(graph: Graph, tensor: str) -> str:
    """A tensor as FP32, whatever it was."""
    return graph.add("Cast", [tensor], to=TensorProto.FLOAT)


def xyxy(graph: Graph, boxes: str, layout: str, scale_wh: Sequence[float] = (1, 1)) -> str:
    """Boxes [N,R,4] as x1, y1, x2, y2.

    Args:
        graph: to add to.
        boxes: in the unit of scale_wh.
        layout: "xyxy", "yxyx", "cxcywh" (centre and size) or "xywh" (corner and size).
        scale_wh: width and height of the model's input in the unit of the boxes.
    """
    if layout in ("cxcywh", "xywh"):
        corner, size = graph.slice(boxes, 2, 0, 2), graph.slice(boxes, 2, 2, 4)
        if layout == "cxcywh":
            half = graph.add("Mul", [size, graph.constant(0.5, np.float32)])
            boxes = graph.add("Concat", [graph.add("Sub", [corner, half]), graph.add("Add", [corner, half])], axis=2)
        else:
            boxes = graph.add("Concat", [corner, graph.add("Add", [corner, size])], axis=2)
    elif layout == "yxyx":
        boxes = graph.add("Gather", [boxes, graph.integers(1, 0, 3, 2)], axis=2)
    if tuple(scale_wh) == (1, 1):
        return boxes
    return graph.add("Div", [boxes, graph.constant([*scale_wh, *scale_wh], np.float32)])
