"""Detectors that answer decoded boxes [N,R,4] and scores [N,R,classes], before NMS.

YOLO-NAS (x1, y1, x2, y2 in pixels), YOLOv4's PyTorch exports (boxes [N,R,1,4] in 0..1, confs), PP-YOLOE (scores
[N,classes,R]), and SSDs with their box coding in the graph (0..1, with a first class for the background).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Fact, Head, ResizeMode
from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values, box_scale_wh
from exporters.heads.finding import Sure, is_pixels, scale_fact, within_unit
from exporters.heads.selection import Rows, floats, xyxy
from exporters.onnx_graph import Graph


def _find(evidence: Evidence) -> Iterator[Match]:
    for boxes, scores, transposed in _pairs(evidence):
        rows, width = (scores.shape[2], scores.shape[1]) if transposed else scores.shape[1:]
        values = scores.values
        if rows is None or width is None or within_unit(values) is False:
            continue
        if values is not None and transposed:
            values = values.transpose(0, 2, 1)
        background, reason = _has_background(values, width, evidence.labels)
        layout = _layout(boxes)
        if layout is None:
            continue
        pixels = is_pixels(boxes.values)
        options = {
            "boxes": boxes.name,
            "scores": scores.name,
            "rows": rows,
            "classes": width - background,
            "transposed": transposed,
            "layout": layout,
            "pixels": pixels,
            "background": background,
        }
        facts = (
            Fact("head", _FAMILY.title, f"outputs {boxes.name} and {scores.name} of {rows} boxes and {width} scores"),
            scale_fact(boxes, pixels),
            Fact("box layout", layout, "the boxes that it answers to noise", boxes.values is not None, "--head"),
            Fact(
                "background",
                "the first class" if background else "none",
                reason,
                flag="--head boxes_scores,background=true",
            ),
        )
        confidence = Sure.LIKELY if boxes.values is not None else Sure.POSSIBLE
        mode: ResizeMode = "stretch" if background or not pixels else "letterbox"
        yield Match(confidence, Head("boxes_scores", options, width - background, mode, (0.0,), (255.0,), "rgb", facts))


def _pairs(evidence: Evidence) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Two outputs of as many rows, one of them of boxes; and whether the scores are [N,classes,R]."""
    floats = [tensor for tensor in evidence.outputs if tensor.dtype.kind == "f" and len(tensor.shape) in (3, 4)]
    boxes = [tensor for tensor in floats if tensor.shape[-1] == 4 and (len(tensor.shape) == 3 or tensor.shape[2] == 1)]
    for first in boxes:
        for second in floats:
            if second is not first and len(second.shape) == 3 and first.shape[1] is not None:
                if second.shape[1] == first.shape[1] and (second.shape[2] != 4 or "box" not in second.called):
                    yield first, second, False
                elif second.shape[2] == first.shape[1]:
                    yield first, second, True


def _has_background(scores: npt.NDArray[np.float32] | None, width: int, labels: int) -> tuple[bool, str]:
    if labels and labels in (width, width - 1):
        return labels == width - 1, f"{width} scores for {labels} labels"
    if scores is not None and width > 1 and np.allclose(scores.sum(axis=2), 1, atol=1e-2):
        return True, "the scores of each box add up to 1"
    return False, "the scores of a box do not add up to 1"


def _layout(boxes: Tensor) -> str | None:
    """Xyxy where no box ends before it begins; None: these are not boxes but distances from anchors."""
    if boxes.values is None:
        return "xyxy"
    values = boxes.values.reshape(-1, 4)
    if bool(np.all(values[:, 2:] >= values[:, :2] - 1e-6)):
        return "xyxy"
    return "cxcywh" if bool(np.all(values[:, 2:] >= 0)) else None


def _decode(graph: Graph, options: Options, input_hw: InputHw) -> Rows:
    boxes = graph.add("Reshape", [floats(graph, options["boxes"]), graph.integers(0, -1, 4)])
    scores = floats(graph, options["scores"])
    if options["transposed"]:
        scores = graph.add("Transpose", [scores], perm=[0, 2, 1])
    first = int(options["background"])
    return Rows(
        xyxy(graph, boxes, options["layout"], box_scale_wh(options, input_hw)),
        graph.slice(scores, 2, first, first + options["classes"]),
        options["rows"],
        options["classes"],
    )


def _reference(outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    height, width = input_hw if options["pixels"] else (1, 1)
    found = []
    for image, scores in zip(outputs[options["boxes"]], outputs[options["scores"]].astype(np.float64), strict=True):
        boxes = []
        for box in image.astype(np.float64):
            a, b, c, d = box.reshape(4)
            if options["layout"] == "cxcywh":
                a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
            boxes.append((a / width, b / height, c / width, d / height))
        scores = scores.T if options["transposed"] else scores
        found.append(Candidates(np.array(boxes), scores[:, 1:] if options["background"] else scores))
    return found


_FAMILY = Family(
    "decoded boxes and scores (YOLO-NAS, PP-YOLOE, YOLOv4 in PyTorch, SSD)",
    "boxes [N,R,4] and scores [N,R,classes]",
    _find,
    _decode,
    _reference,
    {"yolo_nas": {}, "ppyoloe": {}},
)
FAMILIES = {"boxes_scores": _FAMILY}
