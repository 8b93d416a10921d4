"""Which head is recognised, what is told as unsure, and what is refused."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from detectors import CELLS, CLASSES, FAMILIES, HW, OBJECTS, ULTRALYTICS, detector, table

from exporters import heads
from exporters.adding.plan import Head
from exporters.errors import UnclearModelError, UnknownFormatError


def recognised(
    outputs: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any] | None = None, **more: Any
) -> list[Head]:
    return heads.recognise(detector(outputs), metadata or {}, **more)


def is_sure(head: Head) -> bool:
    return head.facts[0].sure


TABLE = {"output": table(OBJECTS, CLASSES, objectness=True)}  # [1,126,8]: 5 + 3, or 4 + 4


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({"labels": 3}, ("yolox", 3), id="three labels: 5 + 3"),
        pytest.param({"labels": 4}, ("yolov8", 4), id="four labels: 4 + 4"),
        pytest.param(
            {"metadata": {**ULTRALYTICS, "names": ["a", "b", "c", "d"]}}, ("yolov8", 4), id="names in metadata"
        ),
    ],
)
def test_the_number_of_labels_settles_whether_there_is_an_objectness(more, expected):
    best = recognised(TABLE, **more)[0]
    assert (best.name, best.classes) == expected


def test_without_labels_both_readings_of_a_table_are_told_as_unsure():
    found = recognised(TABLE)
    assert {(head.name, head.classes) for head in found[:2]} == {("yolox", 3), ("yolov8", 4)}
    assert not any(is_sure(head) for head in found)
    assert [head.facts[0].flag for head in found[:2]] == [f"--head {head.name}" for head in found[:2]]


def test_six_values_are_told_apart_by_what_noise_gives():
    """Whole numbers in the last column are classes; without them it may be RT-DETR with two classes, in 0..1."""
    values = FAMILIES["YOLOv10"].outputs(OBJECTS, CLASSES)["output0"]
    unit = values / np.array([HW[1], HW[0], HW[1], HW[0], 1, 1], np.float32)
    (selection, *_) = recognised({"output0": unit})
    assert (selection.name, selection.options["pixels"], is_sure(selection)) == ("end_to_end", False, True)
    unit[..., 5] = 0.3
    (queries, *_) = recognised({"output0": unit})
    assert (queries.name, queries.classes, is_sure(queries)) == ("rtdetr_table", 2, False)


def test_six_values_of_a_model_that_answers_nothing_are_told_as_unsure():
    nothing = {"output0": np.zeros((1, 300, 6), np.float32)}
    found = recognised(nothing)
    assert (found[0].name, found[0].options["pixels"], is_sure(found[0])) == ("end_to_end", True, False)
    assert found[0].facts[0].flag == "--head end_to_end"
    assert is_sure(recognised(nothing, {**ULTRALYTICS, "end2end": "True"})[0])


def test_what_answers_nothing_to_noise_is_assumed_to_be_in_pixels():
    nothing = {name: values[:0] for name, values in FAMILIES["torchvision"].outputs(OBJECTS, CLASSES).items()}
    (head, *_) = heads.recognise(detector(nothing, batch=1), {})
    boxes = next(fact for fact in head.facts if fact.what == "boxes")
    assert (head.name, head.options["pixels"], boxes.sure) == ("torchvision", True, False)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("YOLOX", "yolox,decoded=true", {"decoded": True}, id="truth"),
        pytest.param("torchvision", "faster_rcnn,first_class=0", {"first_class": 0}, id="alias and number"),
        pytest.param("YOLOv8", "yolo11", {"transposed": True}, id="alias"),
        pytest.param("YOLOv3", "yolov3,anchors=" + "/".join(["10"] * 18), {"anchors": [10.0] * 18}, id="list"),
        pytest.param(
            "YOLOv5, raw",
            "yolov7_raw",
            {"anchors": [12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401]},
            id="alias with options",
        ),
        pytest.param("YOLOv3", "yolov4", {"scale_x_y": [1.2, 1.1, 1.05]}, id="relative of the same outputs"),
        pytest.param("DETR", "rtdetr", {"classes": CLASSES + 1}, id="against what is likely"),
    ],
)
def test_a_stated_head_and_its_options_are_taken(name, text, expected):
    family = FAMILIES[name]
    model = detector(family.outputs(OBJECTS, CLASSES), **family.model)
    (head,) = heads.recognise(model, {}, head=text)
    assert is_sure(head)
    assert {key: head.options[key] for key in expected} == expected
    heads.append(model, head.name, head.options, HW)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("yolo99", "there is no head yolo99: --head takes one of .*yolov8", id="no such head"),
        pytest.param(
            "detr", r"detr: DETR has outputs logits .*, and this model has output0 \[N,7,126\]", id="other outputs"
        ),
        pytest.param("yolov8,anchors=1", "yolov8 has the options output, rows", id="no such option"),
        pytest.param("yolov8,pixels=perhaps", "pixels=perhaps is no bool", id="no truth"),
        pytest.param("yolov8,rows=many", "rows=many is no int", id="no number"),
    ],
)
def test_what_is_stated_wrongly_is_said(text, reason):
    with pytest.raises(UnclearModelError, match=reason):
        heads.recognise(detector(FAMILIES["YOLOv8"].outputs(OBJECTS, CLASSES)), {}, head=text)


def test_anchors_that_do_not_suit_the_grids_are_said():
    model = detector(FAMILIES["YOLOv3"].outputs(OBJECTS, CLASSES))
    (head,) = heads.recognise(model, {}, head="yolov3,anchors=10/14/23/27")
    with pytest.raises(UnclearModelError, match="3 grids with 3 boxes in each cell need 18 values of anchors, not 4"):
        heads.append(model, head.name, head.options, HW)


BOXES = table(OBJECTS, CLASSES).transpose(0, 2, 1)  # [1,7,126]


def beside(columns: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    """YOLOv8's table with more values for each box."""
    return {"output0": np.concatenate([BOXES, columns], axis=1)}


PROTOTYPES = {"output1": np.zeros((1, 32, 16, 24), np.float32)}
COORDINATES = np.full((1, 51, CELLS), 40, np.float32)


@pytest.mark.parametrize(
    ("outputs", "metadata", "kind"),
    [
        pytest.param(
            {**beside(np.zeros((1, 32, CELLS), np.float32)), **PROTOTYPES}, {}, "instance segmentation", id="masks"
        ),
        pytest.param(
            {"output0": np.zeros((1, 300, 38), np.float32), **PROTOTYPES},
            {},
            "instance segmentation",
            id="masks after NMS",
        ),
        pytest.param({"output0": BOXES}, {"task": "segment"}, "instance segmentation", id="task segment"),
        pytest.param(
            {**FAMILIES["torchvision"].outputs(OBJECTS, 3), "masks": np.zeros((3, 1, 8, 8), np.float32)},
            {},
            "instance segmentation",
            id="Mask R-CNN",
        ),
        pytest.param({"output0": np.concatenate([BOXES[:, :5], COORDINATES], axis=1)}, {}, "pose", id="keypoints"),
        pytest.param({"output0": BOXES}, {"task": "pose"}, "pose", id="task pose"),
        pytest.param(beside(np.full((1, 1, CELLS), -0.7, np.float32)), {}, "oriented boxes", id="angles"),
        pytest.param({"output0": BOXES}, {"task": "obb"}, "oriented boxes", id="task obb"),
        pytest.param({"output0": np.zeros((1, 1000), np.float32)}, {}, "classifier", id="classifier"),
    ],
)
def test_what_is_no_detector_is_refused_by_name(outputs, metadata, kind):
    with pytest.raises(UnknownFormatError, match=kind):
        recognised(outputs, metadata)


def test_outputs_of_no_known_head_are_none():
    assert (
        recognised({"heat": np.zeros((1, 1, 16, 24), np.float32), "size": np.zeros((1, 2, 16, 24), np.float32)}) == []
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_resize_and_scaling_are_those_of_the_family(name):
    family = FAMILIES[name]
    model = detector(family.outputs(OBJECTS, CLASSES), **family.model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    head = heads.recognise(model, metadata, labels=CLASSES if family.labels else 0)[0]
    stretched = {"detr", "rtdetr", "rtdetr_table", "rtdetr_deploy", "torchvision", "tf_od"}
    unit = name in ("SSD, decoded", "YOLOv4 in PyTorch")
    assert head.resize_mode == ("stretch" if head.name in stretched or unit else "letterbox")
    assert head.channel_order == ("bgr" if head.name == "yolox" else "rgb")
    imagenet = head.name == "detr" or name == "RF-DETR"
    assert head.std == (
        (58.395, 57.12, 57.375) if imagenet else (1.0,) if head.name in ("yolox", "tf_od") else (255.0,)
    )


@pytest.mark.parametrize("columns", [6, 7])
def test_a_classifier_of_as_many_classes_as_a_box_has_values_is_no_detector(columns):
    logits = np.linspace(-1.3, 2.1, columns, dtype=np.float32)[np.newaxis]
    assert "end_to_end" not in [head.name for head in recognised({"output": logits})]
