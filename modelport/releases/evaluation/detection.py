"""Measures of detectors: mean average precision by pycocotools, with bootstrap intervals over images."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from modelport.releases.comparison.statistics import CONFIDENCE, MIN_SAMPLES, SEED, Estimate
from modelport.releases.evaluation.outcomes import Outcome

MAP, MAP_50 = "mAP@0.5:0.95", "mAP@0.5"
# The boxes that average precision needs are those that a caller would not want: mAP counts down to the lowest score.
SCORE_THRESHOLD = 0.001
RESAMPLES = 500

Floats = npt.NDArray[np.float64]


def measures(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """mAP@0.5:0.95 and mAP@0.5 as COCO defines them; a sample without an answer is an image without detections."""
    evaluation = _evaluate(outcomes)
    values = _means(evaluation)
    drawn = np.array([means for (means,) in _resampled([evaluation])])
    return {name: _estimate(values[at], drawn[:, at], len(outcomes)) for at, name in enumerate((MAP, MAP_50))}


def changes(new: Sequence[Outcome], old: Sequence[Outcome]) -> dict[str, Estimate]:
    """New mAP minus old mAP over the same images, by the paired bootstrap over images."""
    evaluations = [_evaluate(new), _evaluate(old)]
    values = _means(evaluations[0]) - _means(evaluations[1])
    drawn = np.array([after - before for after, before in _resampled(evaluations)])
    return {name: _estimate(values[at], drawn[:, at], len(new)) for at, name in enumerate((MAP, MAP_50))}


def classes(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Of each annotated class: boxes, and its average precision; None where only groups are annotated."""
    evaluation = _evaluate(outcomes)
    precision = _precision(evaluation)
    found = {}
    for at, category in enumerate(evaluation.params.catIds):
        boxes = [
            one for one in evaluation.cocoGt.anns.values() if one["category_id"] == category and not one["iscrowd"]
        ]
        label = evaluation.cocoGt.cats[category]["name"]
        ap, ap_50 = (float(_mean(values)) if boxes else None for values in (precision[:, :, at], precision[:1, :, at]))
        found[label] = {"boxes": len(boxes), MAP.removeprefix("m"): ap, MAP_50.removeprefix("m"): ap_50}
    return found


def _evaluate(outcomes: Sequence[Outcome]) -> COCOeval:
    """Match detections and boxes; only classes that are annotated count."""
    labels = {
        label: number for number, label in enumerate(sorted({n for one in outcomes for n in one.right.labels}), 1)
    }
    head = {
        "images": [{"id": number} for number in range(len(outcomes))],
        "categories": [{"id": number, "name": label} for label, number in labels.items()],
    }
    right, given = [], []
    for number, one in enumerate(outcomes):
        right += [
            {**box, "iscrowd": int(crowd)}
            for box, crowd in zip(_boxes(number, one.right, labels), one.crowd, strict=True)
        ]
        given += _boxes(number, one.given, labels) if one.given else []
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (right, given):
            side = COCO()
            side.dataset = {**head, "annotations": [{**one, "id": at} for at, one in enumerate(annotations, 1)]}
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType="bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
    return evaluation


def _boxes(image: int, answer: Any, labels: dict[str, int]) -> list[dict[str, Any]]:
    """COCO's annotations, or results, of one image."""
    return [
        {
            "image_id": image,
            "category_id": labels[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "score": float(score),
        }
        for label, score, (x1, y1, x2, y2) in zip(answer.labels, answer.scores, answer.boxes.tolist(), strict=True)
        if label in labels
    ]


def _precision(evaluation: COCOeval, chosen: npt.NDArray[np.intp] | None = None) -> Floats:
    """Precision by IoU threshold, recall threshold and class, -1 where a class has no boxes; of the chosen images."""
    part = copy.copy(evaluation)
    if chosen is not None:
        images = len(chosen)
        part.evalImgs = [
            evaluation.evalImgs[start + image]
            for start in range(0, len(evaluation.evalImgs), images)
            for image in chosen
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        part.accumulate()
    precision: Floats = part.eval["precision"][..., 0, 0]
    return precision


def _means(evaluation: COCOeval, chosen: npt.NDArray[np.intp] | None = None) -> Floats:
    """MAP and MAP_50."""
    precision = _precision(evaluation, chosen)
    return np.array([_mean(precision), _mean(precision[:1])])


def _mean(precision: Floats) -> float:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else np.nan


def _resampled(evaluations: Sequence[COCOeval]) -> Iterator[list[Floats]]:
    """The means of each evaluation over the same images, drawn with replacement."""
    generator = np.random.default_rng(SEED)
    count = len(evaluations[0].params.imgIds)
    for _ in range(RESAMPLES):
        chosen = generator.integers(count, size=count)
        yield [_means(one, chosen) for one in evaluations]


def _estimate(value: float, drawn: Floats, count: int) -> Estimate:
    tail = 50 * (1 - CONFIDENCE)
    there = drawn[~np.isnan(drawn)]
    low, high = np.percentile(there, [tail, 100 - tail]) if there.size else (-np.inf, np.inf)
    return Estimate(float(value), float(low), float(high), count, sure=count >= MIN_SAMPLES)
