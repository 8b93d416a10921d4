"""Box operations against naive references."""

import numpy as np
import pytest

from kserve_transformers.arrays.boxes import box_iou, class_wise_nms, xyxy_to_xywh


def naive_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / area if area > 0 else 0.0


def naive_nms(boxes, scores, classes, threshold):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(classes[i] != classes[k] or naive_iou(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


def random_boxes(rng, count):
    corners = rng.random((count, 2, 2)) * 100
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def test_iou_is_the_naive_one():
    rng = np.random.default_rng(1)
    a, b = random_boxes(rng, 20), random_boxes(rng, 30)
    expected = [[naive_iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(box_iou(a, b), expected, atol=1e-5)


def test_iou_of_a_box_without_area_is_zero():
    point = np.array([[3, 3, 3, 3]], np.float32)
    assert box_iou(point, point)[0, 0] == 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_nms_is_the_naive_one(seed, threshold):
    rng = np.random.default_rng(seed)
    boxes, classes = random_boxes(rng, 60), rng.integers(0, 3, 60)
    scores = rng.integers(0, 20, 60).astype(np.float32) / 20  # many ties
    assert class_wise_nms(boxes, scores, classes, threshold).tolist() == naive_nms(boxes, scores, classes, threshold)


def test_overlap_of_exactly_the_threshold_is_kept():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # IoU 0.5
    scores, classes = np.array([0.9, 0.8], np.float32), np.array([1, 1])
    assert class_wise_nms(boxes, scores, classes, 0.5).tolist() == [0, 1]
    assert class_wise_nms(boxes, scores, classes, 0.499).tolist() == [0]


def test_boxes_of_different_classes_do_not_suppress_each_other():
    boxes = np.array([[0, 0, 10, 10]] * 2, np.float32)
    assert class_wise_nms(boxes, np.array([0.5, 0.6], np.float32), np.array([1, 2]), 0.1).tolist() == [1, 0]


def test_no_boxes_are_fine_everywhere():
    none = np.zeros((0, 4), np.float32)
    assert class_wise_nms(none, np.zeros(0, np.float32), np.zeros(0, int), 0.5).tolist() == []
    assert xyxy_to_xywh(none).shape == (0, 4)
    assert box_iou(none, none).shape == (0, 0)


def test_xyxy_to_xywh_leaves_its_argument_alone():
    boxes = np.array([[1, 2, 4, 8]], np.float32)
    assert xyxy_to_xywh(boxes).tolist() == [[1, 2, 3, 6]]
    assert boxes.tolist() == [[1, 2, 4, 8]]
