"""Measures of detectors: mean average precision by pycocotools, with bootstrap intervals over images."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from exporters.statistics import CONFIDENCE, MIN_SAMPLES, SEED, Estimate
from modelport.releases.evaluation.outcomes import Outcome

MAP, MAP_50 = "mAP@0.5:0.95", "mAP@0.5"
# The boxes that average precision needs are those that a caller would not want: mAP counts down to the lowest score.
SCORE_THRESHOLD = 0.001
RESAMPLES = 1000
RECALLS = np.linspace(0, 1, 101)  # as pycocotools has them

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Class:
    """The detections of one class in all images, by descending score, as pycocotools matched them."""

    label: str
    images: npt.NDArray[np.intp]  # [D], the image of each
    # right, wrong: [T, D], whether it found a box, or none, by IoU threshold; neither where it found a group
    right: npt.NDArray[np.bool_]
    wrong: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.intp]  # [I], of each image, without groups
    precision: Floats  # [T, R] by IoU and recall threshold, from pycocotools; -1 where there are no boxes

    def average_precision(self, weights: npt.NDArray[np.intp]) -> Floats:
        """Average precision [T] as COCO defines it, where image i occurs weights[i] times; NaN without boxes."""
        total = weights @ self.boxes
        if not total:
            return np.full(len(self.right), np.nan)
        counted = weights[self.images]
        right, wrong = np.cumsum(counted * self.right, axis=1), np.cumsum(counted * self.wrong, axis=1)
        precision = np.maximum.accumulate((right / (right + wrong + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
        precision = np.pad(precision, ((0, 0), (0, 1)))
        reached = [np.searchsorted(recall, RECALLS, side="left") for recall in right / total]
        return np.array([row[at].mean() for row, at in zip(precision, reached, strict=True)])


@dataclass(frozen=True)
class Matches:
    """The detections of every annotated class."""

    images: int
    classes: Sequence[_Class]

    def means(self) -> Floats:
        """MAP and MAP_50, from pycocotools."""
        precision = np.array([one.precision for one in self.classes if one.boxes.any()])
        return np.array([precision.mean(), precision[:, 0].mean()]) if precision.size else np.full(2, np.nan)

    def weighted_means(self, weights: npt.NDArray[np.intp]) -> Floats:
        """The same where image i occurs weights[i] times."""
        found = np.array([one.average_precision(weights) for one in self.classes])
        there = found[~np.isnan(found[:, 0])]
        return np.array([there.mean(), there[:, 0].mean()]) if there.size else np.full(2, np.nan)


def measures(matches: Matches) -> dict[str, Estimate]:
    """mAP@0.5:0.95 and mAP@0.5 as COCO defines them; a sample without an answer is an image without detections."""
    drawn = np.array([matches.weighted_means(weights) for weights in _resampled(matches.images)])
    return _estimates(matches.means(), drawn, matches.images)


def changes(new: Matches, old: Matches) -> dict[str, Estimate]:
    """New mAP minus old mAP over the same images, by the paired bootstrap over images."""
    weights = _resampled(new.images)
    drawn = np.array([new.weighted_means(one) - old.weighted_means(one) for one in weights])
    return _estimates(new.means() - old.means(), drawn, new.images)


def classes(matches: Matches) -> dict[str, dict[str, Any]]:
    """Of each annotated class: boxes, and its average precision; None where only groups are annotated."""
    found = {}
    for one in matches.classes:
        boxes = int(one.boxes.sum())
        ap, ap_50 = (float(part.mean()) if boxes else None for part in (one.precision, one.precision[0]))
        found[one.label] = {"boxes": boxes, MAP.removeprefix("m"): ap, MAP_50.removeprefix("m"): ap_50}
    return found


def match(outcomes: Sequence[Outcome]) -> Matches:
    """Match detections and boxes; only classes that are annotated count."""
    names = sorted({label for one in outcomes for label in one.right.labels})
    labels = {label: number for number, label in enumerate(names, 1)}
    right, given = [], []
    for number, one in enumerate(outcomes):
        boxes = zip(_boxes(number, one.right, labels), one.crowd, strict=True)
        right += [{**box, "iscrowd": int(crowd)} for box, crowd in boxes]
        given += _boxes(number, one.given, labels) if one.given else []
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (right, given):
            side = COCO()
            side.dataset = {
                "images": [{"id": number} for number in range(len(outcomes))],
                "categories": [{"id": number, "name": label} for label, number in labels.items()],
                "annotations": [{**one, "id": at} for at, one in enumerate(annotations, 1)],
            }
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType="bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, 0]
    rows = np.array(evaluation.evalImgs, object).reshape(len(names), len(outcomes))
    return Matches(len(outcomes), [_class(label, rows[at], precision[:, :, at]) for at, label in enumerate(names)])


def _class(label: str, row: Sequence[Any], precision: Floats) -> _Class:
    """What COCOeval.accumulate reads of one class, in its order."""
    there = [(image, one) for image, one in enumerate(row) if one]
    order = np.argsort([-score for _, one in there for score in one["dtScores"]], kind="stable").astype(np.intp)
    images = np.array([image for image, one in there for _ in one["dtScores"]], np.intp)[order]
    matched = np.concatenate([one["dtMatches"] for _, one in there], axis=1)[:, order] > 0
    ignored = np.concatenate([one["dtIgnore"] for _, one in there], axis=1)[:, order] > 0
    boxes = np.zeros(len(row), np.intp)
    for image, one in there:
        boxes[image] = np.count_nonzero(one["gtIgnore"] == 0)
    return _Class(label, images, matched & ~ignored, ~matched & ~ignored, boxes, precision)


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


def _resampled(images: int) -> Iterator[npt.NDArray[np.intp]]:
    """How often each image occurs in samples of the images, drawn with replacement."""
    generator = np.random.default_rng(SEED)
    for _ in range(RESAMPLES):
        yield np.bincount(generator.integers(images, size=images), minlength=images)


def _estimates(values: Floats, drawn: Floats, count: int) -> dict[str, Estimate]:
    tail = 50 * (1 - CONFIDENCE)
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    bounds = np.percentile(drawn, [tail, 100 - tail], axis=0) if drawn.size else np.array([[-np.inf] * 2, [np.inf] * 2])
    return {
        name: Estimate(float(values[at]), float(low), float(high), count, sure=count >= MIN_SAMPLES)
        for at, (name, low, high) in enumerate(zip((MAP, MAP_50), *bounds, strict=True))
    }
