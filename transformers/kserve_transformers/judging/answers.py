"""A service's answer to one sample in a form that can be compared: labels, scores, boxes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.boxes import box_iou
from kserve_transformers.arrays.matching import IOU_THRESHOLD, pair_boxes

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Answer:
    """The results for one sample, best first."""

    labels: tuple[str, ...]  # class labels, or the value of another output as text
    scores: npt.NDArray[np.float64]  # [len(labels)], by `measure`
    boxes: npt.NDArray[np.float32] | None = None  # [len(labels), 4], xyxy in pixels; None for tasks without boxes
    measure: str = "score"  # what the scores are: "score", 0..1, or "error", in the unit of the input
    model: str | None = None  # which model of the chain answered, where the service says so


@dataclass(frozen=True)
class Difference:
    """How two answers to the same sample differ."""

    # how many of `count` results both answers have. Of boxes each counts, so a pair counts twice; of answers without
    # boxes only the best label counts.
    agreed: int
    count: int
    shifts: tuple[float, ...]  # of each pair, the new score minus the old one
    ious: tuple[float, ...] = ()  # of each pair of boxes, their IoU
    # only_old, only_new: labels of the results without a partner
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[float, float]:
        """A sort key: the lower, the more the answers differ."""
        return (self.agreed / self.count if self.count else 1.0, -max((abs(s) for s in self.shifts), default=0.0))


def read_answer(outputs: Arrays) -> Answer:
    """Read the V2 outputs of any task for one sample.

    Args:
        outputs: `box`, `score` and `label` of detection; `label` and `score` [1,K] of classification; else an integer
            or a boolean [1] and a score or an error [1], the first outputs of these types.
    """
    if "box" in outputs:
        return Answer(_texts(outputs["label"]), np.asarray(outputs["score"], np.float64), _xyxy(outputs["box"]))
    if "label" in outputs:
        model = _texts(outputs["model"])[0] if "model" in outputs else None
        return Answer(_texts(outputs["label"][0]), np.asarray(outputs["score"][0], np.float64), model=model)
    floats = {name: values for name, values in outputs.items() if np.issubdtype(values.dtype, np.floating)}
    score_name, scores = next(iter(floats.items()))
    name, values = next((name, values) for name, values in outputs.items() if name not in floats)
    return _single(name, values[0], score_name, np.asarray(scores, np.float64))


def recorded_answer(prediction: Mapping[str, Any]) -> Answer:
    """Read a prediction of any task in the JSON form of V1, as records have it.

    Args:
        prediction: `detections` with label, confidence and bbox; `predictions` with label and score, or with class and
            a confidence in per cent; else an integer or a boolean and a score or an error, the first of these types.

    Raises:
        ValueError: it is none of these.
    """
    try:
        if "detections" in prediction:
            found = prediction["detections"]
            boxes = _xyxy([one["bbox"] for one in found])
            return Answer(tuple(one["label"] for one in found), _scores(one["confidence"] for one in found), boxes)
        if "predictions" in prediction:
            best = prediction["predictions"]
            labels = tuple(one["label"] if "label" in one else one["class"] for one in best)
            scores = _scores(one["score"] if "score" in one else one["confidence"] / 100 for one in best)
            return Answer(labels, scores, model=prediction.get("model"))
        score = next((name for name, value in prediction.items() if isinstance(value, float)), None)
        name = next((name for name, value in prediction.items() if isinstance(value, int)), None)
        if score is None or name is None:
            raise ValueError(f"no label and score among {', '.join(prediction) or 'nothing'}")
        return _single(name, prediction[name], score, _scores([prediction[score]]))
    except (KeyError, TypeError) as exc:
        raise ValueError(f"no label and score where they are expected: {exc!r}") from exc


def _single(name: str, value: Any, score_name: str, scores: npt.NDArray[np.float64]) -> Answer:
    """The answer of a task with one value, whose label is a number as text, or a verdict."""
    label = ("" if value else "not ") + name if isinstance(value, bool | np.bool_) else str(value)
    return Answer((label,), scores, measure="score" if score_name in ("score", "confidence") else "error")


def _xyxy(xywh: npt.ArrayLike) -> npt.NDArray[np.float32]:
    corners = np.asarray(xywh, np.float32).reshape(-1, 4)
    return np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)


def _scores(values: Iterable[Any]) -> npt.NDArray[np.float64]:
    return np.array(list(values), np.float64)


def difference(old: Answer, new: Answer, iou_threshold: float = IOU_THRESHOLD) -> Difference:
    """Compare two answers to the same sample; boxes of the same label with this IoU or more agree."""
    if old.boxes is not None and new.boxes is not None:
        return _boxes_difference(old, old.boxes, new, new.boxes, iou_threshold)
    if old.labels[0] == new.labels[0]:
        return Difference(1, 1, (float(new.scores[0] - old.scores[0]),))
    return Difference(0, 1, (), only_old=old.labels[:1], only_new=new.labels[:1])


def _boxes_difference(
    old: Answer,
    old_boxes: npt.NDArray[np.float32],
    new: Answer,
    new_boxes: npt.NDArray[np.float32],
    iou_threshold: float,
) -> Difference:
    overlaps = box_iou(old_boxes, new_boxes)
    same = np.array([[a == b for b in new.labels] for a in old.labels], bool).reshape(overlaps.shape)
    pairs = pair_boxes(overlaps, same, iou_threshold)
    olds, news = {i for i, _ in pairs}, {j for _, j in pairs}
    return Difference(
        agreed=2 * len(pairs),
        count=len(old_boxes) + len(new_boxes),
        shifts=tuple(float(new.scores[j] - old.scores[i]) for i, j in pairs),
        ious=tuple(float(overlaps[i, j]) for i, j in pairs),
        only_old=tuple(label for i, label in enumerate(old.labels) if i not in olds),
        only_new=tuple(label for j, label in enumerate(new.labels) if j not in news),
    )


def _texts(values: npt.NDArray[np.generic]) -> tuple[str, ...]:
    return tuple(value.decode() for value in values.tolist())
