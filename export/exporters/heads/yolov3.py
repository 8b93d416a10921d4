"""Raw heads of YOLOv3 and v4, and of v5 and v7 without their last step: one output for each grid, decoded by anchors.

Sources: get_yolo_box in Darknet's yolo_layer.c; Detect.forward in YOLOv5's models/yolo.py.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.darknet.graph import corners, places, rows_of
from exporters.darknet.layers import Shape, Yolo
from exporters.errors import UnclearModelError
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values
from exporters.heads.finding import Sure, within_unit
from exporters.heads.selection import Rows, floats
from exporters.onnx_graph import Graph

# Anchors in pixels, for each grid from the finest to the coarsest, by the number of grids.
_COCO = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
_V4 = (12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401)
_TINY = (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319)
_TINY_V4 = (23, 27, 37, 58, 81, 82, 81, 82, 135, 169, 344, 319)
_P6 = (19, 27, 44, 40, 38, 94, 96, 68, 86, 152, 180, 137, 140, 301, 303, 264, 238, 542, 436, 615, 739, 380, 925, 792)
_ANCHORS: Mapping[str, Mapping[int, tuple[int, ...]]] = {
    "yolov3": {3: _COCO, 2: _TINY},
    "yolov4": {3: _V4, 2: _TINY_V4},
    "yolov5_raw": {3: _COCO, 4: _P6},
}
_SCALE_X_Y = {"yolov4": {3: (1.2, 1.1, 1.05), 2: (1.05, 1.05)}}
# From each layout of an output (A anchors, V values) to [N,A*V,H,W] or [N,A,V,H,W]: the axes of values, H and W.
_LAYOUTS: Mapping[str, tuple[tuple[int, ...], tuple[int, int]]] = {
    "n,av,h,w": ((0, 1, 2, 3), (2, 3)),
    "n,h,w,av": ((0, 3, 1, 2), (1, 2)),
    "n,a,h,w,v": ((0, 1, 4, 2, 3), (2, 3)),
    "n,h,w,a,v": ((0, 3, 4, 1, 2), (1, 2)),
}


def _find(name: str, evidence: Evidence) -> Iterator[Match]:
    for layout, (_, grid_axes) in _LAYOUTS.items():
        outputs = _grids(evidence, layout, grid_axes)
        if not 1 <= len(outputs) <= 4 or evidence.input_hw is None:
            continue
        strides = [evidence.input_hw[0] // (tensor.shape[grid_axes[0]] or 1) for tensor in outputs]
        values = _values(outputs, layout, evidence.labels)
        if values is None or len(set(strides)) < len(strides):
            continue
        per_cell, width = values
        known = _ANCHORS[name].get(len(outputs), ())
        anchors = known if len(known) == 2 * per_cell * len(outputs) else ()
        decoded = any(len(tensor.shape) == 3 and tensor.dtype.kind == "f" for tensor in evidence.outputs)
        usual = ("v" in layout.split(",")) == (name == "yolov5_raw") and name != "yolov4"
        confidence = Sure.UNLIKELY if decoded else Sure.POSSIBLE + 0.2 if usual else Sure.POSSIBLE - 0.1
        activated = name == "yolov5_raw" and all(within_unit(tensor.values) for tensor in outputs)
        options: dict[str, Any] = {
            "outputs": [tensor.name for tensor in outputs],
            "strides": strides,
            "layout": layout,
            "per_cell": per_cell,
            "classes": width - 5,
            "anchors": list(anchors),
            "scale_x_y": list(_SCALE_X_Y.get(name, {}).get(len(outputs), [1.0] * len(outputs))),
        }
        if name == "yolov5_raw":
            del options["scale_x_y"]
            options["activated"] = activated
        cell = f"{per_cell} x (5 + {width - 5}) values for each cell"
        shape = f"{len(outputs)} outputs of {cell} at strides {_listed(strides)}"
        told = _listed(anchors) if anchors else "not known for these grids"
        facts = [
            Fact("head", FAMILIES[name].title, shape, flag="--head"),
            Fact("anchors", told, "those for COCO", sure=False, flag=f"--head {name},anchors=10/13/16/30/..."),
        ]
        if name == "yolov4":
            scales = _listed(options["scale_x_y"])
            facts.append(Fact("scale_x_y", scales, "YOLOv4's cfg", False, f"--head {name},scale_x_y=1.2/1.1/1.05"))
        yield Match(confidence, Head(name, options, width - 5, "letterbox", (0.0,), (255.0,), "rgb", tuple(facts)))


def _grids(evidence: Evidence, layout: str, axes: tuple[int, int]) -> list[Tensor]:
    """The outputs of this layout whose grids are those of a stride, the finest first."""
    if evidence.input_hw is None:
        return []
    found = []
    for tensor in evidence.outputs:
        if len(tensor.shape) == len(layout.split(",")) and None not in tensor.shape[1:] and tensor.dtype.kind == "f":
            h, w = (tensor.shape[axis] or 0 for axis in axes)
            if any(
                (-(-evidence.input_hw[0] // s), -(-evidence.input_hw[1] // s)) == (h, w) for s in (4, 8, 16, 32, 64)
            ):
                found.append(tensor)
    return sorted(found, key=lambda tensor: -(tensor.shape[axes[0]] or 0))


def _values(outputs: Sequence[Tensor], layout: str, labels: int) -> tuple[int, int] | None:
    """Anchors of a cell and values of an anchor, 5 + classes; None: the outputs are no such heads."""
    parts = layout.split(",")
    sizes = {
        tuple(tensor.shape[axis] for axis, part in enumerate(parts) if part in ("av", "a", "v")) for tensor in outputs
    }
    if len(sizes) != 1:
        return None
    (size,) = sizes
    if len(size) == 2:
        return (int(size[0] or 0), int(size[1] or 0)) if (size[1] or 0) > 5 else None
    total = int(size[0] or 0)
    for anchors in ([total // (5 + labels)] if labels and total % (5 + labels) == 0 else []) + [3, 5, 6, 4, 2, 1]:
        if anchors and total % anchors == 0 and total // anchors > 5:
            return anchors, total // anchors
    return None


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _levels(options: Options, input_hw: InputHw, scale_x_y: Sequence[float]) -> list[tuple[Shape, Yolo]]:
    """The grid and the head of each output; a grid's anchors are its share of the list, the finest first."""
    height, width = input_hw
    share, count = options["per_cell"], len(options["outputs"])
    for name, needed in (("anchors", 2 * share * count), ("scale_x_y", count)):
        if name in options and len(options[name]) != needed:
            raise UnclearModelError(
                f"{count} grids with {share} boxes in each cell need {needed} values of {name}, "
                f"not {len(options[name])}: state them from the model's cfg, the finest grid first: "
                f"--head NAME,{name}=VALUE/VALUE/..."
            )
    pairs = list(zip(options["anchors"][::2], options["anchors"][1::2], strict=True))
    levels = []
    for level, stride in enumerate(options["strides"]):
        anchors = tuple((float(w), float(h)) for w, h in pairs[level * share : (level + 1) * share])
        yolo = Yolo("head", (), options["classes"], anchors, scale_x_y[level])
        grid = Shape(share * (5 + options["classes"]), math.ceil(height / stride), math.ceil(width / stride))
        levels.append((grid, yolo))
    return levels


def _decode(graph: Graph, options: Options, input_hw: InputHw) -> Rows:
    v5 = "activated" in options  # twice the sigmoid and its square, where Darknet has the sigmoid and the exponential
    scales = [2.0] * len(options["outputs"]) if v5 else options["scale_x_y"]
    levels, rows = _levels(options, input_hw, scales), []
    for name, (grid, yolo) in zip(options["outputs"], levels, strict=True):
        nchw = graph.add("Transpose", [floats(graph, name)], perm=list(_LAYOUTS[options["layout"]][0]))
        rows.append(rows_of(graph, nchw, grid, yolo))
    raw = rows[0] if len(rows) == 1 else graph.add("Concat", rows, axis=1)
    table = places(levels, input_hw[1], input_hw[0])
    boxes, place = graph.slice(raw, 2, 0, 4), graph.constant(table[None], np.float32)
    if v5:
        boxes = _v5_corners(graph, boxes if options["activated"] else graph.add("Sigmoid", [boxes]), place)
    else:
        boxes = corners(graph, boxes, place)
    return Rows(
        boxes=boxes,
        scores=graph.slice(raw, 2, 5, 5 + options["classes"]),
        objectness=graph.slice(raw, 2, 4, 5),
        rows=len(table),
        classes=options["classes"],
        logits=not options.get("activated", False),
    )


def _v5_corners(graph: Graph, boxes: str, place: str) -> str:
    """The centre is that of Darknet with scale_x_y 2; the size is the square of twice the sigmoid, times the anchor."""
    scaled = graph.add("Mul", [graph.slice(boxes, 2, 0, 2), graph.slice(place, 2, 0, 2)])
    centre = graph.add("Add", [scaled, graph.slice(place, 2, 2, 4)])
    doubled = graph.add("Mul", [graph.slice(boxes, 2, 2, 4), graph.constant(2, np.float32)])
    half = graph.add("Mul", [graph.add("Mul", [doubled, doubled]), graph.slice(place, 2, 4, 6)])
    return graph.add("Concat", [graph.add("Sub", [centre, half]), graph.add("Add", [centre, half])], axis=2)


def _reference(outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    height, width = input_hw
    pairs = np.reshape(options["anchors"], (len(options["outputs"]), -1, 2))
    axes = _LAYOUTS[options["layout"]][0]
    found = []
    for image in range(len(outputs[options["outputs"][0]])):
        boxes, scores = [], []
        for level, name in enumerate(options["outputs"]):
            values = outputs[name].transpose(axes)[image].astype(np.float64)
            rows, columns = values.shape[-2:]
            values = values.reshape(len(pairs[level]), -1, rows, columns)
            for anchor, (anchor_w, anchor_h) in enumerate(pairs[level]):
                for row in range(rows):
                    for column in range(columns):
                        cell = values[anchor, :, row, column]
                        if "activated" in options:
                            part = cell if options["activated"] else _sigmoid(cell)
                            x, y = (2 * part[0] - 0.5 + column) / columns, (2 * part[1] - 0.5 + row) / rows
                            w, h = (2 * part[2]) ** 2 * anchor_w / width, (2 * part[3]) ** 2 * anchor_h / height
                        else:
                            part, scale = _sigmoid(cell), options["scale_x_y"][level]
                            x = (part[0] * scale - (scale - 1) / 2 + column) / columns
                            y = (part[1] * scale - (scale - 1) / 2 + row) / rows
                            w, h = math.exp(cell[2]) * anchor_w / width, math.exp(cell[3]) * anchor_h / height
                        boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
                        scores.append(part[4] * part[5:])
        found.append(Candidates(np.array(boxes), np.array(scores)))
    return found


def _sigmoid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))


def _family(name: str, title: str, aliases: Mapping[str, Options]) -> Family:
    return Family(
        title,
        "[N, anchors * (5 + classes), H, W] of each grid, or the like",
        partial(_find, name),
        _decode,
        _reference,
        aliases,
    )


FAMILIES = {
    "yolov3": _family("yolov3", "YOLOv3, raw", {"yolov3_tiny": {}}),
    "yolov4": _family("yolov4", "YOLOv4, raw", {"yolov4_tiny": {}}),
    "yolov5_raw": _family("yolov5_raw", "YOLOv5 or v7, raw", {"yolov7_raw": {"anchors": list(_V4)}}),
}
