"""Outputs that are one table with a row for each box: YOLOv5 and YOLOv8, and what YOLOX and Ultralytics' RT-DETR share.

YOLOv5, v6 and v7: [N, boxes, 5 + classes], centre and size in pixels, objectness, and probabilities of classes. v6 has
one box for each cell, whose objectness is 1, where v5 and v7 have three. YOLOv8, v9, v11 and v12: [N, 4 + classes,
boxes], centre and size in pixels, and scores of classes. Ultralytics' YOLOv3u and v5u answer the same, as do exports of
v10 without its last step. Some tools turn the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values, box_scale_wh
from exporters.heads.finding import Sure, is_pixels, scale_fact, stride_sets, within_unit
from exporters.heads.selection import Rows, floats, xyxy
from exporters.onnx_graph import Graph


@dataclass(frozen=True)
class Table:
    """A way to read an output of three dimensions.

    Of `rows` boxes, each with `columns` values; `transposed`: the tensor is [N,columns,rows].
    """

    tensor: Tensor
    rows: int
    columns: int
    transposed: bool

    def column(self, start: int, stop: int | None = None) -> npt.NDArray[Any] | None:
        """Columns of the answer to noise [N,rows,stop-start]."""
        values = self.tensor.values
        if values is None:
            return None
        return (values.transpose(0, 2, 1) if self.transposed else values)[:, :, start:stop].astype(np.float64)

    def options(self, classes: int, **more: Any) -> dict[str, Any]:
        """The options that all heads of this form have."""
        return {
            "output": self.tensor.name,
            "rows": self.rows,
            "classes": classes,
            "transposed": self.transposed,
            **more,
        }


def tables(evidence: Evidence) -> Iterator[Table]:
    """Both ways to read an output [N,a,b]; several such outputs of different shapes are no tables."""
    found = [tensor for tensor in evidence.outputs if len(tensor.shape) == 3 and tensor.dtype.kind == "f"]
    if len({tensor.shape[1:] for tensor in found}) != 1:
        return
    _, first, second = found[0].shape
    if first is not None and second is not None:
        yield Table(found[0], first, second, transposed=False)
        yield Table(found[0], second, first, transposed=True)


def is_decoded(table: Table) -> bool:
    """Whether the table can hold boxes with their sizes, and scores behind them, as far as was seen."""
    sizes = table.column(2, 4)
    return within_unit(table.column(4)) is not False and (sizes is None or sizes.min(initial=0) >= 0)


def table_of(graph: Graph, options: Options) -> str:
    """The table [N,rows,columns]."""
    table = floats(graph, options["output"])
    return graph.add("Transpose", [table], perm=[0, 2, 1]) if options["transposed"] else table


def decode(graph: Graph, options: Options, input_hw: InputHw, objectness: bool) -> Rows:
    """Centre and size, objectness where there is one, and scores of classes."""
    table, first = table_of(graph, options), 5 if objectness else 4
    return Rows(
        boxes=xyxy(graph, graph.slice(table, 2, 0, 4), "cxcywh", box_scale_wh(options, input_hw)),
        scores=graph.slice(table, 2, first, first + options["classes"]),
        objectness=graph.slice(table, 2, 4, 5) if objectness else None,
        rows=options["rows"],
        classes=options["classes"],
    )


def reference(outputs: Values, options: Options, input_hw: InputHw, objectness: bool) -> list[Candidates]:
    """Row by row."""
    height, width = input_hw if options["pixels"] else (1, 1)
    found = []
    for image in outputs[options["output"]].astype(np.float64):
        boxes, scores = [], []
        for row in image.T if options["transposed"] else image:
            x, y, w, h = row[:4]
            boxes.append(((x - w / 2) / width, (y - h / 2) / height, (x + w / 2) / width, (y + h / 2) / height))
            scores.append(row[4] * row[5:] if objectness else row[4:])
        found.append(Candidates(np.array(boxes), np.array(scores)))
    return found


def _find_v5(evidence: Evidence) -> Iterator[Match]:
    for table in tables(evidence):
        classes = table.columns - 5
        if table.transposed or classes < 1 or not is_decoded(table):
            continue
        seen = f"5 + {classes} values for each of {table.rows} boxes"
        objectness = table.column(4, 5)
        confidence = Sure.UNLIKELY
        if strides := stride_sets(evidence, table.rows, anchors=3):
            confidence, seen = Sure.LIKELY, f"{seen}, three for each cell at strides {', '.join(map(str, strides[0]))}"
        elif stride_sets(evidence, table.rows) and objectness is not None and np.allclose(objectness, 1):
            confidence, seen = Sure.SETTLED, f"{seen}, whose objectness is 1, as YOLOv6's"
        elif table.rows > max(1000, table.columns) and evidence.input_hw is None:
            confidence = Sure.POSSIBLE
        if "yolov5" in evidence.told("description") + evidence.told("docs") and confidence == Sure.LIKELY:
            confidence = Sure.SETTLED
        yield _match(confidence, "yolov5", table, classes, seen)


def _find_v8(evidence: Evidence) -> Iterator[Match]:
    for table in tables(evidence):
        classes, strides = table.columns - 4, stride_sets(evidence, table.rows)
        if classes < 1 or not is_decoded(table):
            continue
        seen = f"4 + {classes} values for each of {table.rows} boxes"
        confidence = Sure.UNLIKELY
        if table.transposed and (strides or table.rows > table.columns):
            confidence = Sure.LIKELY if strides else Sure.POSSIBLE
        elif strides:
            confidence = Sure.POSSIBLE - 0.05  # YOLOX has tables of this form
        if "ultralytics" in evidence.told("author") and classes == evidence.labels and confidence > Sure.UNLIKELY:
            confidence, seen = Sure.SETTLED, f"{seen}, and Ultralytics' metadata, which has {classes} names"
        yield _match(confidence, "yolov8", table, classes, seen)


def _match(confidence: float, name: str, table: Table, classes: int, seen: str) -> Match:
    """A head of this form: images in a letterbox, RGB, 0..1."""
    pixels = is_pixels(table.column(0, 4))
    fact = Fact("head", FAMILIES[name].title, f"output {table.tensor.name} has {seen}")
    facts, options = (fact, scale_fact(table.tensor, pixels)), table.options(classes, pixels=pixels)
    return Match(confidence, Head(name, options, classes, "letterbox", (0.0,), (255.0,), "rgb", facts))


FAMILIES = {
    "yolov5": Family(
        "YOLOv5, v6 or v7",
        "[N, boxes, 5 + classes]",
        _find_v5,
        partial(decode, objectness=True),
        partial(reference, objectness=True),
        {"yolov6": {}, "yolov7": {}},
    ),
    "yolov8": Family(
        "YOLOv8, v9, v11 or v12",
        "[N, 4 + classes, boxes]",
        _find_v8,
        partial(decode, objectness=False),
        partial(reference, objectness=False),
        {name: {} for name in ("yolov9", "yolov11", "yolo11", "yolov12", "yolo12")},
    ),
}
