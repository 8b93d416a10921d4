"""Detectors that have selected their boxes: YOLOv10, YOLO26 and exports with NMS.

[N,K,6]: x1, y1, x2, y2, score, class. YOLOv7's end-to-end export answers [K,7]: index of the image, box, class, score;
PaddleDetection's [K,6]: class, score, box. Both lists hold one image here, as nothing else says how many there were.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values, box_scale_wh
from exporters.heads.finding import Sure, is_pixels, scale_fact, stride_sets
from exporters.heads.selection import Listed, floats, xyxy
from exporters.onnx_graph import Graph

# Where box, score and class begin.
_COLUMNS = {
    "box,score,class": (0, 4, 5),
    "box,class,score": (0, 5, 4),
    "class,score,box": (2, 1, 0),
    "image,box,class,score": (1, 6, 5),
}


def _find(evidence: Evidence) -> Iterator[Match]:
    for tensor in evidence.outputs:
        shape = tensor.shape
        if tensor.dtype.kind != "f" or len(shape) not in (2, 3) or shape[-1] not in (6, 7):
            continue
        if shape[-1] == 7 and len(shape) == 3:  # boxes with angles
            continue
        order, confidence = _order(tensor)
        if len(shape) == 2 and confidence == Sure.UNLIKELY:  # a row for each image, as of a classifier
            continue
        stated = evidence.told("end2end") == "true" or "'nms': true" in evidence.told("args")
        detects = "ultralytics" in evidence.told("author")
        if (
            confidence < Sure.LIKELY
            and len(shape) == 3
            and stride_sets(evidence, shape[1]) + stride_sets(evidence, shape[1], anchors=3)
        ):
            confidence = Sure.UNLIKELY
        if detects and (stated or confidence >= Sure.POSSIBLE):
            confidence = Sure.SETTLED
        values = tensor.values
        start = _COLUMNS[order][0]
        pixels = is_pixels(None if values is None or not values.size else values[..., start : start + 4])
        options = {"output": tensor.name, "columns": order, "pixels": pixels}
        if len(shape) == 2:  # boxes of all images in one list
            options["max_batch_size"] = 1
        facts = (
            Fact("head", _FAMILY.title, f"output {tensor.name} has {shape[-1]} values for each of its boxes ({order})"),
            scale_fact(tensor, pixels),
        )
        yield Match(confidence, Head("end_to_end", options, 0, "letterbox", (0.0,), (255.0,), "rgb", facts))


def _order(tensor: Tensor) -> tuple[str, float]:
    """What the columns are, and how sure that is."""
    if tensor.shape[-1] == 7:
        rows = np.zeros((0, 7)) if tensor.values is None else tensor.values.reshape(-1, 7).astype(np.float64)
        fits = not len(rows) or (_are_classes(rows[:, 0]) and _are_classes(rows[:, 5]) and _are_scores(rows[:, 6]))
        return "image,box,class,score", Sure.LIKELY if fits else Sure.UNLIKELY
    usual = "box,score,class" if len(tensor.shape) == 3 else "class,score,box"
    if tensor.values is None or not tensor.values.size:
        return usual, Sure.POSSIBLE
    rows = tensor.values.reshape(-1, 6).astype(np.float64)
    for order in (usual, *_COLUMNS):
        _, score, label = _COLUMNS[order]
        if score < 6 and _are_scores(rows[:, score]) and _are_classes(rows[:, label]):
            return order, Sure.LIKELY if np.ptp(rows) > 0 else Sure.POSSIBLE
    return usual, Sure.UNLIKELY


def _are_scores(values: npt.NDArray[np.float64]) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1.0001)


def _are_classes(values: npt.NDArray[np.float64]) -> bool:
    return bool(np.all(values == np.round(values)) and values.min() >= -1)


def _decode(graph: Graph, options: Options, input_hw: InputHw) -> Listed:
    box, score, label = _COLUMNS[options["columns"]]
    width = 7 if options["columns"].startswith("image") else 6
    batch = 1 if options.get("max_batch_size") == 1 else 0
    table = graph.add("Reshape", [floats(graph, options["output"]), graph.integers(batch, -1, width)])
    scores, classes = (
        graph.add("Reshape", [graph.slice(table, 2, column, column + 1), graph.integers(0, -1)])
        for column in (score, label)
    )
    return Listed(
        xyxy(graph, graph.slice(table, 2, box, box + 4), "xyxy", box_scale_wh(options, input_hw)), scores, classes
    )


def _reference(outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    box, score, label = _COLUMNS[options["columns"]]
    height, width = input_hw if options["pixels"] else (1, 1)
    table = outputs[options["output"]].astype(np.float64)
    found = []
    for image in table if table.ndim == 3 else [table]:
        boxes = [
            [row[box] / width, row[box + 1] / height, row[box + 2] / width, row[box + 3] / height] for row in image
        ]
        scores, classes = [row[score] for row in image], [row[label] for row in image]
        found.append(Candidates(np.reshape(boxes, (-1, 4)), np.array(scores), np.array(classes)))
    return found


_FAMILY = Family(
    title="YOLOv10, YOLO26 or an export with NMS",
    outputs="[N, boxes, 6], or [boxes, 6] or [boxes, 7] of one image",
    find=_find,
    decode=_decode,
    reference=_reference,
    aliases={"yolov10": {}, "yolo26": {}, "nms": {}},
)
FAMILIES = {"end_to_end": _FAMILY}
