"""Pairs of boxes that two detectors found in one image."""

import numpy as np
import numpy.typing as npt

IOU_THRESHOLD = 0.5


def pair_boxes(
    iou: npt.NDArray[np.floating], same_class: npt.NDArray[np.bool_], iou_threshold: float = IOU_THRESHOLD
) -> list[tuple[int, int]]:
    """Pair boxes of one class greedily, by descending IoU, each box in one pair at most.

    Args:
        iou: of every box of one side with every box of the other, [N, M], 0..1.
        same_class: whether both are of one class, [N, M].
        iou_threshold: boxes with this overlap or more are paired.

    Returns:
        Pairs of indices.
    """
    left = np.where(same_class, iou, 0)
    pairs: list[tuple[int, int]] = []
    while left.size and left.max() >= iou_threshold:
        i, j = (int(index) for index in np.unravel_index(left.argmax(), left.shape))
        pairs.append((i, j))
        left[i, :] = left[:, j] = -1
    return pairs
