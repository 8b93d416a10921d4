"""A service's answer to one sample as things that can be compared: labels, scores, boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.boxes import box_iou

IOU_THRESHOLD = 0.5

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Answer:
    """What was found in a sample, best first.

    Attributes:
        labels: names; of the anomaly service its verdict.
        scores: [len(labels)], 0..1; of the anomaly service the mean absolute error.
        boxes: [len(labels), 4], xyxy in pixels; None where the service knows no places.
        model: which model of the chain answered, where the service says so.
    """

    labels: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float32] | None = None
    model: str | None = None


@dataclass(frozen=True)
class Difference:
    """How two answers to the same sample compare.

    Attributes:
        agreed: of `count` things, how many both found. Each box counts, and a pair of boxes as two; of answers without
            boxes the best label alone.
        shifts: new score minus old one of each pair.
        ious: intersection over union of each pair of boxes.
        only_old, only_new: labels of what has no partner.
    """

    agreed: int
    count: int
    shifts: tuple[float, ...]
    ious: tuple[float, ...] = ()
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[float, float]:
        """The lower, the more they differ."""
        return (self.agreed / self.count if self.count else 1.0, -max((abs(s) for s in self.shifts), default=0.0))


def read_answer(task: str, outputs: Arrays) -> Answer:
    """The answer in a task's V2 outputs for one sample."""
    return _READ[task](outputs)


def difference(old: Answer, new: Answer) -> Difference:
    """Compare two answers to the same sample."""
    if old.boxes is not None and new.boxes is not None:
        return _of_boxes(old, old.boxes, new, new.boxes)
    agreed = old.labels[0] == new.labels[0]
    if agreed:
        return Difference(1, 1, (float(new.scores[0] - old.scores[0]),))
    return Difference(0, 1, (), only_old=old.labels[:1], only_new=new.labels[:1])


def _of_boxes(
    old: Answer, old_boxes: npt.NDArray[np.float32], new: Answer, new_boxes: npt.NDArray[np.float32]
) -> Difference:
    """Pairs of boxes of the same label, those that overlap most first, each box in one pair at most."""
    same = np.array([[a == b for b in new.labels] for a in old.labels], bool).reshape(len(old_boxes), len(new_boxes))
    iou = np.where(same, box_iou(old_boxes, new_boxes), 0)
    pairs: list[tuple[int, int]] = []
    while iou.size and iou.max() >= IOU_THRESHOLD:
        i, j = (int(index) for index in np.unravel_index(iou.argmax(), iou.shape))
        pairs.append((i, j))
        iou[i, :] = iou[:, j] = -1
    overlaps = box_iou(old_boxes, new_boxes)
    olds, news = {i for i, _ in pairs}, {j for _, j in pairs}
    return Difference(
        agreed=2 * len(pairs),
        count=len(old_boxes) + len(new_boxes),
        shifts=tuple(float(new.scores[j] - old.scores[i]) for i, j in pairs),
        ious=tuple(float(overlaps[i, j]) for i, j in pairs),
        only_old=tuple(label for i, label in enumerate(old.labels) if i not in olds),
        only_new=tuple(label for j, label in enumerate(new.labels) if j not in news),
    )


def _detections(outputs: Arrays) -> Answer:
    xywh = np.asarray(outputs["box"], np.float32)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return Answer(_texts(outputs["label"]), np.asarray(outputs["score"], np.float64), boxes)


def _top(outputs: Arrays) -> Answer:
    model = _texts(outputs["model"])[0] if "model" in outputs else None
    return Answer(_texts(outputs["label"][0]), np.asarray(outputs["score"][0], np.float64), model=model)


def _digit(outputs: Arrays) -> Answer:
    return Answer((str(outputs["digit"][0]),), np.asarray(outputs["confidence"], np.float64))


def _verdict(outputs: Arrays) -> Answer:
    return Answer(("anomaly" if outputs["anomaly"][0] else "normal",), np.asarray(outputs["mae"], np.float64))


def _texts(values: npt.NDArray[np.generic]) -> tuple[str, ...]:
    return tuple(value.decode() for value in values.tolist())


_READ: Mapping[str, Callable[[Arrays], Answer]] = {
    "detection": _detections,
    "classification": _top,
    "digits": _digit,
    "anomaly": _verdict,
}
