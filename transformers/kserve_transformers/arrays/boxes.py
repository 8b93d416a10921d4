"""Operations on axis-aligned boxes; xyxy means [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2."""

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]


def box_iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of every box of one set with every box of another.

    Args:
        a: [N, 4], xyxy.
        b: [M, 4], xyxy, in the same units.

    Returns:
        [N, M], 0..1; 0 where both boxes have no area.
    """
    overlap = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    intersection = np.clip(overlap, 0, None).prod(axis=2)
    union = _area(a)[:, None] + _area(b)[None, :] - intersection
    iou: npt.NDArray[np.float32] = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def class_wise_nms(
    boxes: Boxes, scores: npt.NDArray[np.float32], classes: npt.NDArray[np.integer], iou_threshold: float
) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression within each class.

    A box is dropped when a kept box of its class and of a higher score overlaps it by more than the threshold.

    Args:
        boxes: [N, 4], xyxy.
        scores: [N].
        classes: [N].
        iou_threshold: 0..1; exactly this overlap is still kept.

    Returns:
        [K], indices of the kept boxes by descending score; equal scores in the order given.

    Source:
        torchvision.ops.batched_nms, which compares in the same way.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, ranked_classes = boxes[order], classes[order]
    suppresses = (box_iou(ranked, ranked) > iou_threshold) & (ranked_classes[:, None] == ranked_classes[None, :])
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~suppresses[i, i + 1 :]
    return order[alive]


def xyxy_to_xywh(boxes: Boxes) -> Boxes:
    """Corners to corner and size.

    Args:
        boxes: [N, 4], xyxy.

    Returns:
        [N, 4], x1, y1, width, height, in the order given.
    """
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _area(boxes: Boxes) -> npt.NDArray[np.float32]:
    size: npt.NDArray[np.float32] = boxes[:, 2:] - boxes[:, :2]
    return size[:, 0] * size[:, 1]
