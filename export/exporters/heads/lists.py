"""Detectors that answer boxes, scores and classes as outputs of their own, after NMS or without a need of it.

torchvision's SSD, RetinaNet, FCOS and Faster R-CNN (boxes, scores and labels of one image, in pixels), TensorFlow's
Object Detection API (detection_boxes as y1, x1, y2, x2 in 0..1, classes from 1), exports with the outputs of TensorRT's
EfficientNMS, and RT-DETR and D-FINE as they are deployed: their input orig_target_sizes scales the boxes.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from exporters.adding.plan import Fact, Head, ResizeMode
from exporters.heads.evidence import Evidence, Tensor, is_sizes
from exporters.heads.family import Candidates, Family, InputHw, Match, Options, Values, box_scale_wh
from exporters.heads.finding import Sure, is_pixels, scale_fact
from exporters.heads.selection import Listed, floats, xyxy
from exporters.onnx_graph import Graph


class _Form(NamedTuple):
    """Names of the outputs, and what is fixed about them."""

    # boxes, scores, classes, counts: names; "" where there is no such output
    boxes: tuple[str, ...]
    scores: tuple[str, ...]
    classes: tuple[str, ...]
    counts: tuple[str, ...] = ()
    layout: str = "xyxy"  # of boxes
    first_class: int = 0  # number of the first label
    scales_itself: bool = False  # the graph does its own scaling of pixels


_FORMS: Mapping[str, _Form] = {
    "tf_od": _Form(
        ("detection_boxes",),
        ("detection_scores",),
        ("detection_classes",),
        ("num_detections",),
        "yxyx",
        first_class=1,
        scales_itself=True,
    ),
    "efficient_nms": _Form(
        ("det_boxes", "detection_boxes"),
        ("det_scores", "detection_scores"),
        ("det_classes", "detection_classes"),
        ("num_dets",),
    ),
    "rtdetr_deploy": _Form(("boxes",), ("scores",), ("labels",)),
    "torchvision": _Form(("boxes",), ("scores",), ("labels",), first_class=1),
}


def _find(name: str, evidence: Evidence) -> Iterator[Match]:
    form = _FORMS[name]
    tensors = [evidence.output(*names) for names in (form.boxes, form.scores, form.classes)]
    confidence = Sure.SETTLED
    if name == "torchvision" and None in tensors:
        tensors, confidence = list(_by_type(evidence)), Sure.LIKELY
    if len(tensors) != 3 or not all(tensors):
        return
    boxes, scores, classes = (tensor for tensor in tensors if tensor)
    batched, count = len(boxes.shape) == 3, evidence.output(*form.counts)
    if len(boxes.shape) != len(scores.shape) + 1 or len(scores.shape) != len(classes.shape) or boxes.shape[-1] != 4:
        return
    sizes = any(is_sizes(tensor) for tensor in evidence.inputs)
    if (name == "rtdetr_deploy" and not (sizes or batched)) or (name == "torchvision" and (sizes or batched)):
        return
    if name == "efficient_nms" and count is None:
        return
    pixels = sizes or (name != "tf_od" and is_pixels(boxes.values))
    options = {
        "boxes": boxes.name,
        "scores": scores.name,
        "classes": classes.name,
        "count": count.name if count else "",
        "layout": form.layout,
        "pixels": pixels,
        "first_class": form.first_class,
    }
    if not batched:
        options["max_batch_size"] = 1
    scaling = (0.0,), (1.0 if form.scales_itself else 255.0,)
    names = ", ".join(tensor.name for tensor in (boxes, scores, classes))
    facts: list[Fact] = [Fact("head", FAMILIES[name].title, f"outputs {names}")]
    if name != "tf_od":
        facts.append(scale_fact(boxes, pixels) if not sizes else Fact("boxes", "pixels", "input orig_target_sizes"))
    first = (
        "the first label is class 1; class 0 is the background" if form.first_class else "the first label is class 0"
    )
    facts.append(
        Fact(
            "classes",
            first,
            f"{FAMILIES[name].title}'s own",
            sure=name == "tf_od",
            flag=f"--head {name},first_class={1 - form.first_class}",
        )
    )
    resize: ResizeMode = "letterbox" if name == "efficient_nms" else "stretch"
    yield Match(confidence, Head(name, options, 0, resize, *scaling, "rgb", tuple(facts)))


def _by_type(evidence: Evidence) -> Iterator[Tensor]:
    """Torchvision's outputs of one image where they have no names: FP32 [K,4], FP32 [K], INT64 [K]."""
    for rank, kind in ((2, "f"), (1, "f"), (1, "i")):
        found = [tensor for tensor in evidence.outputs if len(tensor.shape) == rank and tensor.dtype.kind == kind]
        if len(found) == 1 and (rank == 1 or found[0].shape[-1] == 4):
            yield found[0]


def _decode(graph: Graph, options: Options, input_hw: InputHw) -> Listed:
    batch = 1 if options.get("max_batch_size") == 1 else 0
    shape = graph.integers(batch, -1)
    boxes = graph.add("Reshape", [floats(graph, options["boxes"]), graph.integers(batch, -1, 4)])
    scores, classes = (graph.add("Reshape", [floats(graph, options[name]), shape]) for name in ("scores", "classes"))
    valid = graph.add("Sub", [classes, graph.constant(options["first_class"], np.float32)])
    zero = graph.constant(0, np.float32)
    # What counts is a class with a label; what is behind the count, or is of the background, has score 0.
    kept = graph.add("Not", [graph.add("Less", [valid, zero])])
    if options["count"]:
        rows = graph.add("Squeeze", [graph.slice(graph.add("Shape", [scores]), 0, 1, 2)])
        places = graph.add("Range", [graph.constant(0, np.int64), rows, graph.constant(1, np.int64)])
        count = graph.add("Reshape", [floats(graph, options["count"]), graph.integers(-1, 1)])
        kept = graph.add("And", [kept, graph.add("Less", [floats(graph, places), count])])
    scores = graph.add("Where", [kept, scores, zero])
    classes = graph.add("Where", [kept, valid, zero])
    return Listed(xyxy(graph, boxes, options["layout"], box_scale_wh(options, input_hw)), scores, classes)


def _reference(outputs: Values, options: Options, input_hw: InputHw) -> list[Candidates]:
    height, width = input_hw if options["pixels"] else (1, 1)
    boxes, scores, classes = (outputs[options[name]].astype(np.float64) for name in ("boxes", "scores", "classes"))
    if boxes.ndim == 2:
        boxes, scores, classes = boxes[None], scores[None], classes[None]
    counts = outputs[options["count"]].reshape(-1) if options["count"] else [len(row) for row in scores]
    found = []
    for image in range(len(boxes)):
        placed, kept, labels = [], [], []
        for index in range(len(scores[image])):
            first, second, third, fourth = boxes[image][index]
            if options["layout"] == "yxyx":
                first, second, third, fourth = second, first, fourth, third
            label = classes[image][index] - options["first_class"]
            valid = label >= 0 and index < counts[image]
            placed.append((first / width, second / height, third / width, fourth / height))
            kept.append(scores[image][index] if valid else 0)
            labels.append(label if valid else 0)
        found.append(Candidates(np.reshape(placed, (-1, 4)), np.array(kept), np.array(labels)))
    return found


def _family(name: str, title: str, outputs: str, *aliases: str) -> Family:
    return Family(
        title, outputs, lambda evidence: _find(name, evidence), _decode, _reference, {alias: {} for alias in aliases}
    )


FAMILIES = {
    "tf_od": _family(
        "tf_od",
        "TensorFlow's Object Detection API",
        "detection_boxes [N,K,4], detection_scores [N,K], detection_classes [N,K], num_detections [N]",
    ),
    "efficient_nms": _family(
        "efficient_nms", "EfficientNMS", "num_dets [N,1], det_boxes [N,K,4], det_scores [N,K], det_classes [N,K]"
    ),
    "rtdetr_deploy": _family(
        "rtdetr_deploy", "RT-DETR or D-FINE, deployed", "labels [N,K], boxes [N,K,4], scores [N,K]", "dfine_deploy"
    ),
    "torchvision": _family(
        "torchvision",
        "torchvision's SSD, RetinaNet, FCOS or Faster R-CNN",
        "boxes [K,4], scores [K], labels [K]",
        "ssd_torchvision",
        "faster_rcnn",
    ),
}
