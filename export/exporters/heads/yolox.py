"""YOLOX: [N, cells, 5 + classes], offsets from the cells of its grids, or boxes in pixels; pixels as BGR, 0..255.

Source: YOLOX's demo_utils.py (demo_postprocess); its own letterbox puts the image into the upper left corner.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads import tables
from exporters.heads.evidence import Evidence
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values
from exporters.heads.finding import Sure, stride_sets, within_unit
from exporters.heads.selection import Rows, xyxy
from exporters.onnx_graph import Graph


def _find(evidence: Evidence) -> Iterator[Match]:
    for table in tables.tables(evidence):
        classes, strides = table.columns - 5, stride_sets(evidence, table.rows)
        if table.transposed or classes < 1 or not strides or within_unit(table.column(4)) is False:
            continue
        decoded = is_decoded(table, strides[0], evidence.input_hw or (0, 0))
        confidence = Sure.POSSIBLE if decoded is not False else Sure.SETTLED - 0.05
        if evidence.metadata.get("author") and "ultralytics" in evidence.told("author"):
            confidence = Sure.UNLIKELY
        steps = ", ".join(map(str, strides[0]))
        seen = f"output {table.tensor.name} has 5 + {classes} values for each cell at strides {steps}"
        form = "boxes in pixels" if decoded else "offsets from cells"
        source = "the boxes that it answers to noise" if decoded is not None else "the usual one"
        facts = (
            Fact("head", _FAMILY.title, seen),
            Fact(
                "boxes", form, source, decoded is not None, "" if decoded is not None else "--head yolox,decoded=true"
            ),
            Fact("scaling", "BGR, 0..255", "YOLOX's own", sure=False),
            Fact("resize", "letterbox, in the middle", "YOLOX's own is in the upper left corner"),
        )
        options = table.options(classes, strides=list(strides[0]), decoded=bool(decoded))
        yield Match(confidence, Head("yolox", options, classes, "letterbox", (0.0,), (1.0,), "bgr", facts))


def is_decoded(table: tables.Table, strides: Sequence[int], input_hw: InputHw) -> bool | None:
    """Whether centres follow the grid in pixels; None where no answer was seen."""
    centres = table.column(0, 2)
    if centres is None:
        return None
    grid = cells(strides, input_hw)
    followed = np.abs(centres / grid[:, 2:] - grid[:, :2] - 0.5).mean()
    return bool(followed < np.abs(centres - 0.5).mean())


def cells(strides: Sequence[int], input_hw: InputHw) -> npt.NDArray[np.float64]:
    """For each cell [cells,3]: column, row, stride."""
    height, width = input_hw
    found = []
    for stride in strides:
        y, x = np.mgrid[: math.ceil(height / stride), : math.ceil(width / stride)].reshape(2, -1)
        found.append(np.stack([x, y, np.full(x.shape, stride)], axis=1))
    return np.concatenate(found).astype(np.float64)


def _decode(graph: Graph, options: Options, input_hw: InputHw) -> Rows:
    table = tables.table_of(graph, options)
    boxes = graph.slice(table, 2, 0, 4)
    if not options["decoded"]:
        grid = cells(options["strides"], input_hw)
        stride = graph.constant(grid[:, 2:], np.float32)
        offsets = graph.add("Add", [graph.slice(table, 2, 0, 2), graph.constant(grid[:, :2], np.float32)])
        sizes = graph.add("Exp", [graph.slice(table, 2, 2, 4)])
        boxes = graph.add("Mul", [graph.add("Concat", [offsets, sizes], axis=2), stride])
    return Rows(
        boxes=xyxy(graph, boxes, "cxcywh", (input_hw[1], input_hw[0])),
        scores=graph.slice(table, 2, 5, 5 + options["classes"]),
        objectness=graph.slice(table, 2, 4, 5),
        rows=options["rows"],
        classes=options["classes"],
    )


def _reference(outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    height, width = input_hw
    found = []
    for image in outputs[options["output"]].astype(np.float64):
        boxes, scores, index = [], [], 0
        rows = image.T if options["transposed"] else image
        for stride in options["strides"]:
            for top in range(0, height, stride):
                for left in range(0, width, stride):
                    x, y, w, h, objectness = rows[index][:5]
                    if not options["decoded"]:
                        x, y = x * stride + left, y * stride + top
                        w, h = math.exp(w) * stride, math.exp(h) * stride
                    boxes.append(((x - w / 2) / width, (y - h / 2) / height, (x + w / 2) / width, (y + h / 2) / height))
                    scores.append(objectness * rows[index][5:])
                    index += 1
        found.append(Candidates(np.array(boxes), np.array(scores)))
    return found


_FAMILY = Family("YOLOX", "[N, cells, 5 + classes]", _find, _decode, _reference)
FAMILIES = {"yolox": _FAMILY}
