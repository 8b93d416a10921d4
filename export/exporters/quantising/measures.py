"""What the paired proof measures of two networks' answers to the same inputs, for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import statistics
from exporters.quantising.batches import Arrays
from exporters.statistics import Estimate
from kserve_transformers.arrays.boxes import box_iou, class_wise_nms
from kserve_transformers.arrays.matching import pair_boxes

# As the detection task has them where a request names none.
SCORE_THRESHOLD, NMS_IOU_THRESHOLD = 0.3, 0.45
# A box that one network finds counts as found by the other down to this much below the threshold: that it is a little
# less sure is the business of the limit on scores.
SCORE_MARGIN = 0.1

INPUTS, WHOLE = "inputs", "whole answers"


@dataclass(frozen=True)
class Measured:
    """An estimate; effect: how many of its samples say as much as one that is independent, None for a mean."""

    estimate: Estimate
    effect: float | None = None


Measures = dict[str, Measured]


@dataclass(frozen=True)
class Compared:
    """Two networks' outputs for the same inputs."""

    expected: Arrays  # the fp32 network's outputs, by tensor name, [N, ...]
    found: Arrays  # the other network's
    sources: npt.NDArray[np.intp]  # of each input, the number of what it was made of, [N]
    labels: npt.NDArray[np.integer] | None = None  # the right classes, [N]; None where nobody knows them
    threshold: float | None = None  # of an anomaly detector


def measure(task: str, both: Compared) -> Measures:
    """What the limits of a task are about; only how many answers are whole where not all are.

    Raises:
        ValueError: the task has no threshold.
    """
    count = len(both.sources)
    both = replace(both, expected=_plain(both.expected), found=_plain(both.found))
    whole = _whole(both.expected, both.found, count)
    measured = {
        INPUTS: Measured(Estimate(count, count, count, count, sure=True)),
        WHOLE: Measured(Estimate(whole, whole, whole, count, sure=True)),
    }
    return measured | (_BY_TASK[task](both) if count and whole == 1 else {})


def _share(agreed: npt.NDArray[np.bool_], sources: npt.NDArray[np.intp]) -> Measured:
    effect = statistics.design_effect(agreed, sources) if len(agreed) else None
    return Measured(statistics.clustered_share(agreed, sources), effect)


def _mean(values: npt.NDArray[np.float64], sources: npt.NDArray[np.intp]) -> Measured:
    return Measured(statistics.clustered_mean(values, sources))


def _classes(both: Compared) -> Measures:
    """Of scores [N,C]. Which of several equal scores is named first is not a difference."""
    old, new = (np.asarray(next(iter(outputs.values())), np.float64) for outputs in (both.expected, both.found))
    old_best, new_best = (scores == scores.max(axis=1, keepdims=True) for scores in (old, new))
    row, first = np.arange(len(old)), old.argmax(axis=1)
    ties = (new_best.sum(axis=1) > 1) & (old_best.sum(axis=1) == 1)
    measured = {
        "top-1 agreement": _share((old_best & new_best).any(axis=1), both.sources),
        "ties": _share(ties, both.sources),
        "absolute score shift": _mean(np.abs(new[row, first] - old[row, first]), both.sources),
    }
    if both.labels is not None:
        was_right, is_right = first == both.labels, new.argmax(axis=1) == both.labels
        pairs = [int(np.count_nonzero((is_right == a) & (was_right == b))) for a, b in _PAIRS]
        measured["accuracy"] = Measured(statistics.share(int(is_right.sum()), len(is_right)))
        measured["accuracy change"] = Measured(statistics.paired_difference(*pairs))
    return measured


_PAIRS = ((True, True), (True, False), (False, True), (False, False))


def _boxes(both: Compared) -> Measures:
    """Of what callers get: boxes above the threshold, after suppression. Every box of either network counts."""
    agreed: list[bool] = []
    origins: list[int] = []
    ious: list[float] = []
    shifts: list[float] = []
    paired: list[int] = []
    for number, source in enumerate(both.sources):
        (old, old_scores, old_classes), (new, new_scores, new_classes) = (
            _likely({name: values[number] for name, values in side.items()}) for side in (both.expected, both.found)
        )
        iou, same = box_iou(old, new), old_classes[:, None] == new_classes[None, :]
        old_sure, new_sure = old_scores >= SCORE_THRESHOLD, new_scores >= SCORE_THRESHOLD
        pairs = pair_boxes(iou, same & (old_sure[:, None] | new_sure[None, :]))
        for sure, partners in ((old_sure, {i for i, _ in pairs}), (new_sure, {j for _, j in pairs})):
            agreed += [at in partners for at in np.flatnonzero(sure)]
            origins += [int(source)] * int(sure.sum())
        ious += [float(iou[i, j]) for i, j in pairs]
        shifts += [abs(float(new_scores[j] - old_scores[i])) for i, j in pairs]
        paired += [int(source)] * len(pairs)
    measured = {"detections that agree": _share(np.array(agreed, bool), np.array(origins, np.intp))}
    measured["iou"] = _mean(np.array(ious), np.array(paired, np.intp))
    measured["absolute score shift"] = _mean(np.array(shifts), np.array(paired, np.intp))
    return measured


def _likely(outputs: Arrays) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Boxes, scores and classes of one image, after suppression, down to the margin below the threshold."""
    there = outputs["scores"] >= SCORE_THRESHOLD - SCORE_MARGIN
    boxes, scores, classes = (outputs[name][there] for name in ("boxes", "scores", "classes"))
    kept = class_wise_nms(boxes, scores, classes, NMS_IOU_THRESHOLD)
    return boxes[kept], scores[kept], classes[kept]


def _windows(both: Compared) -> Measures:
    """Of the errors of windows."""
    if both.threshold is None:
        raise ValueError("an anomaly detector is proven with its threshold: state it")
    old, new = (np.asarray(one["mae"], np.float64).reshape(len(both.sources)) for one in (both.expected, both.found))
    return {
        "decisions that agree": _share((old > both.threshold) == (new > both.threshold), both.sources),
        "error shift": _mean(np.abs(new - old) / both.threshold, both.sources),
    }


_BY_TASK: Mapping[str, Callable[[Compared], Measures]] = {
    "classification": _classes,
    "digits": _classes,
    "detection": _boxes,
    "anomaly": _windows,
}


def _whole(expected: Arrays, found: Arrays, count: int) -> float:
    """The share of inputs to which both networks give complete, finite answers of one shape."""
    if not count or expected.keys() != found.keys():
        return 0.0
    whole = np.ones(count, bool)
    for name, old in expected.items():
        new = found[name]
        if old.shape != new.shape or len(old) != count or not len(old):
            return 0.0
        for values in (old, new):
            whole &= np.isfinite(values.astype(np.float64)).reshape(count, -1).all(axis=1)
    return float(whole.mean())


def _plain(outputs: Arrays) -> Arrays:
    """Outputs without the indices that PyTorch's backend wants in names."""
    return {name.partition("__")[0]: np.asarray(values) for name, values in outputs.items()}
