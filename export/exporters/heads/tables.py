"""Outputs that are one table with a row for each box: what YOLOv5, YOLOv8, YOLOX and Ultralytics' RT-DETR share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values, box_scale_wh
from exporters.heads.finding import scale_fact, within_unit
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


def match(confidence: float, name: str, family: Family, table: Table, classes: int, seen: str, **options: Any) -> Match:
    """A head of this form: images in a letterbox, RGB, 0..1."""
    facts = [Fact("head", family.title, f"output {table.tensor.name} has {seen}")]
    if "pixels" in options:
        facts.append(scale_fact(table.tensor, options["pixels"]))
    return Match(
        confidence,
        Head(name, table.options(classes, **options), classes, "letterbox", (0.0,), (255.0,), "rgb", tuple(facts)),
    )
