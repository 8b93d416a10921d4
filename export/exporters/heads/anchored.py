"""torchvision's raw heads: SSD (cls_logits, bbox_regression), RetinaNet, and FCOS with its bbox_ctrness.

Sources: torchvision's models/detection: anchor_utils.py (DefaultBoxGenerator, AnchorGenerator), _utils.py (BoxCoder,
BoxLinearCoder), ssd.py, ssdlite.py, retinanet.py, fcos.py.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads.evidence import Evidence
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values
from exporters.heads.finding import IMAGENET_MEAN, IMAGENET_STD, Sure, grid_cells
from exporters.heads.selection import Rows, floats
from exporters.onnx_graph import Graph

Name = Literal["ssd300", "ssdlite320", "retinanet", "fcos"]
_STRIDES = (8, 16, 32, 64, 128)
_MAX_LOG_SIZE = math.log(1000 / 16)  # torchvision clamps the logarithms of sizes
_SSD300_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
_SSD300_STEPS = (8, 16, 32, 64, 100, 300)
_SSD300_RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
_SCALING = {
    "ssd300": ((123.0, 117.0, 104.0), (1.0,)),
    "ssdlite320": ((127.5,), (127.5,)),
    "retinanet": (IMAGENET_MEAN, IMAGENET_STD),
    "fcos": (IMAGENET_MEAN, IMAGENET_STD),
}


def _find(name: Name, evidence: Evidence) -> Iterator[Match]:
    logits, regression = evidence.output("cls_logits"), evidence.output("bbox_regression")
    centres = evidence.output("bbox_ctrness")
    named = logits is not None and regression is not None
    if not named:
        tensors = [tensor for tensor in evidence.outputs if len(tensor.shape) == 3]
        regression = next((tensor for tensor in tensors if tensor.shape[2] == 4), None)
        centres = next((tensor for tensor in tensors if tensor.shape[2] == 1), None) if name == "fcos" else None
        logits = next((tensor for tensor in tensors if tensor not in (regression, centres)), None)
    if logits is None or regression is None or (centres is not None) != (name == "fcos") or not evidence.input_hw:
        return
    rows, width = logits.shape[1:]
    if width is None or rows != _count(name, evidence.input_hw) or regression.shape[1] != rows:
        return
    softmax = name.startswith("ssd")
    background = softmax or (bool(evidence.labels) and evidence.labels == width - 1)
    options = {
        "logits": logits.name,
        "boxes": regression.name,
        "rows": rows,
        "classes": width - background,
        "background": background,
    }
    if centres is not None:
        options["centres"] = centres.name
    mean, std = _SCALING[name]
    facts = (
        Fact("head", FAMILIES[name].title, f"outputs {logits.name} and {regression.name} of {rows} anchors"),
        Fact("scaling", "torchvision's for this network", "its transform, which is outside of this file", sure=False),
        Fact("anchors", "torchvision's defaults", "their number", sure=True),
    )
    head = Head(name, options, width - background, "stretch", mean, std, "rgb", facts)
    yield Match(Sure.SETTLED if named else Sure.LIKELY, head)


def _count(name: Name, input_hw: InputHw) -> int:
    match name:
        case "ssd300":
            return 8732 if input_hw == (300, 300) else -1
        case "ssdlite320":
            return 3234 if input_hw == (320, 320) else -1
        case _:
            return grid_cells(input_hw, _STRIDES) * (9 if name == "retinanet" else 1)


def anchors(name: Name, input_hw: InputHw) -> npt.NDArray[np.float64]:
    """The anchors [R,4] of a head: centre and size, in 0..1 of the input for SSD, else in pixels."""
    if name == "ssd300":
        return _default_boxes(
            _SSD300_SCALES, _SSD300_RATIOS, [300 / step for step in _SSD300_STEPS], (38, 19, 10, 5, 3, 1)
        )
    if name == "ssdlite320":
        scales = [0.2 + 0.15 * level for level in range(6)] + [1.0]
        grids = (20, 10, 5, 3, 2, 1)
        return _default_boxes(scales, ((2, 3),) * 6, grids, grids)
    height, width = input_hw
    found = []
    for stride in _STRIDES:
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        step_y, step_x = height // rows, width // columns
        sizes = _retinanet_sizes(4 * stride) if name == "retinanet" else [(stride, stride)]
        for row in range(rows):
            for column in range(columns):
                found += [(column * step_x, row * step_y, w, h) for w, h in sizes]
    return np.array(found, np.float64)


def _retinanet_sizes(size: int) -> list[tuple[float, float]]:
    """Nine sizes: three aspect ratios (height to width) by three scales; half of each is rounded to whole pixels."""
    scales = [size, int(size * 2 ** (1 / 3)), int(size * 2 ** (2 / 3))]
    return [
        (2 * round(scale / math.sqrt(ratio) / 2), 2 * round(scale * math.sqrt(ratio) / 2))
        for ratio in (0.5, 1.0, 2.0)
        for scale in scales
    ]


def _default_boxes(
    scales: tuple[float, ...] | list[float],
    ratios: tuple[tuple[int, ...], ...],
    steps: tuple[float, ...] | list[float],
    grids: tuple[int, ...],
) -> npt.NDArray[np.float64]:
    found = []
    for level, (step, grid) in enumerate(zip(steps, grids, strict=True)):
        scale, between = scales[level], math.sqrt(scales[level] * scales[level + 1])
        sizes = [(scale, scale), (between, between)]
        for ratio in ratios[level]:
            w, h = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            sizes += [(w, h), (h, w)]
        sizes = [(min(w, 1), min(h, 1)) for w, h in sizes]
        for row in range(grid):
            for column in range(grid):
                found += [((column + 0.5) / step, (row + 0.5) / step, w, h) for w, h in sizes]
    return np.array(found)


def _decode(name: Name, graph: Graph, options: Options, input_hw: InputHw) -> Rows:
    softmax, first = name.startswith("ssd"), int(options["background"])
    logits = floats(graph, options["logits"])
    if softmax:
        logits = graph.add("Softmax", [logits], axis=2)
    place = anchors(name, input_hw) / _unit(name, input_hw)
    centre, size = graph.constant(place[:, :2], np.float32), graph.constant(place[:, 2:], np.float32)
    deltas = floats(graph, options["boxes"])
    near, far = graph.slice(deltas, 2, 0, 2), graph.slice(deltas, 2, 2, 4)
    if name == "fcos":
        corners = (
            graph.add("Sub", [centre, graph.add("Mul", [near, size])]),
            graph.add("Add", [centre, graph.add("Mul", [far, size])]),
        )
    else:
        if softmax:
            near, far = (
                graph.add("Mul", [part, graph.constant(value, np.float32)]) for part, value in ((near, 0.1), (far, 0.2))
            )
        middle = graph.add("Add", [graph.add("Mul", [near, size]), centre])
        clamped = graph.add("Clip", [far, "", graph.constant(_MAX_LOG_SIZE, np.float32)])
        half = graph.add("Mul", [graph.add("Exp", [clamped]), graph.constant(place[:, 2:] / 2, np.float32)])
        corners = graph.add("Sub", [middle, half]), graph.add("Add", [middle, half])
    return Rows(
        boxes=graph.add("Concat", list(corners), axis=2),
        scores=graph.slice(logits, 2, first, first + options["classes"]),
        rows=options["rows"],
        classes=options["classes"],
        objectness=floats(graph, options["centres"]) if name == "fcos" else None,
        logits=not softmax,
        root=name == "fcos",
    )


def _unit(name: Name, input_hw: InputHw) -> npt.NDArray[np.float64]:
    """What anchors are divided by to be in 0..1."""
    return np.array([1.0] * 4 if name.startswith("ssd") else [*input_hw[::-1]] * 2)


def _reference(name: Name, outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    height, width = (1, 1) if name.startswith("ssd") else input_hw
    places, found = anchors(name, input_hw), []
    for image, logits in enumerate(outputs[options["logits"]].astype(np.float64)):
        boxes, scores = [], []
        for index, (x, y, w, h) in enumerate(places):
            a, b, c, d = outputs[options["boxes"]][image][index].astype(np.float64)
            if name == "fcos":
                left, top, right, bottom = x - a * w, y - b * h, x + c * w, y + d * h
                centred = 1 / (1 + math.exp(-float(outputs[options["centres"]][image][index][0])))
                row = np.sqrt(centred / (1 + np.exp(-logits[index])))
            else:
                if name != "retinanet":
                    a, b, c, d = a / 10, b / 10, c / 5, d / 5
                x, y = x + a * w, y + b * h
                w, h = w * min(math.exp(c), 62.5), h * min(math.exp(d), 62.5)
                left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
                powers = np.exp(logits[index] - logits[index].max())
                row = 1 / (1 + np.exp(-logits[index])) if name == "retinanet" else powers / powers.sum()
            boxes.append((left / width, top / height, right / width, bottom / height))
            scores.append(row[1:] if options["background"] else row)
        found.append(Candidates(np.array(boxes), np.array(scores)))
    return found


def _family(name: Name, title: str, outputs: str, *aliases: str) -> Family:
    return Family(
        title,
        outputs,
        partial(_find, name),
        partial(_decode, name),
        partial(_reference, name),
        {alias: {} for alias in aliases},
    )


_OUTPUTS = "cls_logits [N, anchors, classes], bbox_regression [N, anchors, 4]"
FAMILIES = {
    "ssd300": _family("ssd300", "torchvision's SSD300, before NMS", _OUTPUTS, "ssd"),
    "ssdlite320": _family("ssdlite320", "torchvision's SSDlite320, before NMS", _OUTPUTS, "ssdlite"),
    "retinanet": _family("retinanet", "torchvision's RetinaNet, before NMS", _OUTPUTS),
    "fcos": _family("fcos", "torchvision's FCOS, before NMS", f"{_OUTPUTS}, bbox_ctrness [N, anchors, 1]"),
}
