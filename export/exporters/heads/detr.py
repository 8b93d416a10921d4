"""The DETR family: queries with a box (centre and size in 0..1) and logits, or scores, of classes.

DETR and Conditional DETR take the softmax over classes and a last one for "no object"; Deformable DETR, RT-DETR, D-FINE
and RF-DETR take sigmoids. Ultralytics' RT-DETR answers one table with scores. Their deployed form is among `lists`.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head
from exporters.heads import tables
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values
from exporters.heads.finding import IMAGENET_MEAN, IMAGENET_STD, Sure, is_pixels, stride_sets, within_unit
from exporters.heads.selection import Rows, floats, xyxy
from exporters.onnx_graph import Graph

_NAMES = (("logits", "pred_boxes"), ("pred_logits", "pred_boxes"), ("labels", "dets"))


def _outputs(evidence: Evidence) -> tuple[Tensor, Tensor] | None:
    for names in _NAMES:
        logits, boxes = (evidence.output(name) for name in names)
        if logits and boxes and len(logits.shape) == len(boxes.shape) == 3 and boxes.shape[2] == 4:
            return logits, boxes
    return None


def _find(no_object: bool, evidence: Evidence) -> Iterator[Match]:
    found = _outputs(evidence)
    if found is None:
        return
    logits, boxes = found
    queries, width = logits.shape[1:]
    if queries is None or width is None or width <= no_object:
        return
    likely, reason = _has_no_object(logits, evidence.labels)
    confidence = Sure.LIKELY if likely == no_object else Sure.UNLIKELY
    if likely is None:
        confidence = Sure.POSSIBLE
    if evidence.labels and evidence.labels == width - no_object:
        confidence = Sure.SETTLED
    rfdetr = boxes.called == "dets"
    name = "detr" if no_object else "rtdetr"
    scaled = no_object or rfdetr
    facts = (
        Fact("head", FAMILIES[name].title, f"outputs {logits.name} [N,{queries},{width}] and {boxes.name}"),
        Fact(
            "activation",
            "softmax and no object" if no_object else "sigmoid",
            reason,
            likely is not None,
            f"--head {name}",
        ),
        Fact("scaling", "ImageNet's" if scaled else "0..1", "the family's usual one", sure=False),
    )
    options = {"logits": logits.name, "boxes": boxes.name, "rows": queries, "classes": width - no_object}
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if scaled else ((0.0,), (255.0,))
    yield Match(confidence, Head(name, options, width - no_object, "stretch", mean, std, "rgb", facts))


def _has_no_object(logits: Tensor, labels: int) -> tuple[bool | None, str]:
    """Whether the last logit is that of "no object": noise shows none, so that it is the largest nearly everywhere."""
    width = logits.shape[2] or 0
    if labels and labels in (width, width - 1):
        return labels == width - 1, f"{width} logits for {labels} labels"
    if logits.values is not None and width > 1:
        last = float((logits.values.argmax(axis=2) == width - 1).mean())
        if last > 0.8:
            return True, "noise makes the last class the best"
        if float(np.median(logits.values.max(axis=2))) < 0:
            return False, "noise makes all logits negative"
    return None, "neither labels nor answers to noise settle it"


def _decode(no_object: bool, graph: Graph, options: Options, input_hw: InputHw) -> Rows:
    logits, classes = floats(graph, options["logits"]), options["classes"]
    if no_object:
        logits = graph.slice(graph.add("Softmax", [logits], axis=2), 2, 0, classes)
    boxes = xyxy(graph, floats(graph, options["boxes"]), "cxcywh")
    return Rows(boxes, logits, options["rows"], classes, logits=not no_object)


def _reference(no_object: bool, outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    found = []
    for logits, centres in zip(outputs[options["logits"]], outputs[options["boxes"]], strict=True):
        boxes, scores = [], []
        for row, (x, y, w, h) in zip(logits.astype(np.float64), centres.astype(np.float64), strict=True):
            boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            scores.append(_softmax(row)[:-1] if no_object else 1 / (1 + np.exp(-row)))
        found.append(Candidates(np.array(boxes), np.array(scores)))
    return found


def _softmax(row: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers: npt.NDArray[np.float64] = np.exp(row - row.max())
    total: npt.NDArray[np.float64] = powers / powers.sum()
    return total


def _find_table(evidence: Evidence) -> Iterator[Match]:
    for table in tables.tables(evidence):
        classes, boxes = table.columns - 4, table.column(0, 4)
        told = "rt-detr" in evidence.told("description") or "rtdetr" in evidence.told("description")
        if table.transposed or classes < 1 or table.rows > 1000 or within_unit(table.column(0)) is False:
            continue
        seen = f"output {table.tensor.name} has 4 + {classes} values for each of {table.rows} queries"
        confidence = (
            Sure.SETTLED if told else Sure.POSSIBLE if boxes is not None and not is_pixels(boxes) else Sure.UNLIKELY
        )
        if stride_sets(evidence, table.rows) and not told:
            confidence = Sure.UNLIKELY
        facts = (Fact("head", FAMILIES["rtdetr_table"].title, seen),)
        options = table.options(classes, pixels=False)
        yield Match(confidence, Head("rtdetr_table", options, classes, "stretch", (0.0,), (255.0,), "rgb", facts))


FAMILIES = {
    "detr": Family(
        "DETR",
        "logits [N, queries, classes + 1], pred_boxes [N, queries, 4]",
        partial(_find, True),
        partial(_decode, True),
        partial(_reference, True),
        {"conditional_detr": {}, "yolos": {}},
    ),
    "rtdetr": Family(
        "RT-DETR, D-FINE or another DETR with sigmoids",
        "logits [N, queries, classes], pred_boxes [N, queries, 4]",
        partial(_find, False),
        partial(_decode, False),
        partial(_reference, False),
        {"dfine": {}, "deim": {}, "deformable_detr": {}, "rfdetr": {}},
    ),
    "rtdetr_table": Family(
        "RT-DETR as Ultralytics exports it",
        "[N, queries, 4 + classes], boxes in 0..1",
        _find_table,
        partial(tables.decode, objectness=False),
        partial(tables.reference, objectness=False),
    ),
}
