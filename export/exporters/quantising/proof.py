"""The paired proof: a network of lower precision answers as the fp32 network does, on the same inputs.

A proof is a pure function of two networks' answers. LIMITS states beforehand what must hold of each task. A limit holds
where the whole 95 % confidence interval is on its right side, so that a network which is exactly at a limit passes one
time in forty at most; where the interval contains the limit, more inputs are needed, and the proof says how many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import statistics
from exporters.matching import pair_boxes
from exporters.rules import Finding as Ruling
from exporters.rules import Rule
from exporters.statistics import Estimate
from kserve_transformers.arrays.boxes import box_iou, class_wise_nms

FORMAT = 1
Arrays = Mapping[str, npt.NDArray[Any]]
Network = Callable[[Arrays], Arrays]

# As the detection task has them where a request names none.
SCORE_THRESHOLD, NMS_IOU_THRESHOLD = 0.3, 0.45
# A box that one network finds counts as found by the other down to this much below the threshold: that it is a little
# less sure is the business of the limit on scores.
SCORE_MARGIN = 0.1

INPUTS, WHOLE = "inputs", "whole answers"
_ENOUGH = Rule(INPUTS, 500, True, "there are at least 500 inputs", by_value=True)
_COMPLETE = Rule(WHOLE, 1, True, "every answer is complete and has finite numbers only", by_value=True)
_SCORES = Rule("absolute score shift", 0.05, False, "scores change by at most 0.05 on average")
_CHANGE = Rule("accuracy change", -0.02, True, "accuracy falls by less than 2 points")
_TIES = Rule("ties", 0.01, False, "at most 1 % of the answers leave open which class is best", by_value=True)
_TOP_1 = Rule("top-1 agreement", 0.98, True, "the best class is the same for at least 98 %")

# Limits by task; those of accuracy apply where the right answers are known.
LIMITS: Mapping[str, Sequence[Rule]] = {
    "classification": (_ENOUGH, _COMPLETE, _TOP_1, _TIES, _SCORES, _CHANGE),
    "digits": (
        *(_ENOUGH, _COMPLETE, _TOP_1, _TIES, _SCORES),
        Rule("accuracy", 0.992, True, "at least 99.2 % of the digits are read rightly", by_value=True),
        Rule("accuracy change", -0.01, True, "accuracy falls by less than 1 point"),
    ),
    "detection": (
        *(_ENOUGH, _COMPLETE),
        Rule("detections that agree", 0.99, True, "at least 99 % of the boxes are found by both"),
        Rule("iou", 0.8, True, "the mean IoU of boxes that agree is at least 0.8"),
        _SCORES,
    ),
    "anomaly": (
        *(_ENOUGH, _COMPLETE),
        Rule("decisions that agree", 0.98, True, "at least 98 % of the windows are judged alike"),
        Rule("error shift", 0.05, False, "errors change by at most 5 % of the threshold on average"),
    ),
}
_WITH_LABELS = frozenset({"accuracy", "accuracy change"})


@dataclass(frozen=True)
class Finding:
    """What was measured, and what that says about a limit.

    Attributes:
        metric: its name.
        limit: the rule, with its limit.
        estimate: the measured value with its confidence interval; count is of inputs, or of boxes.
        ruling: HOLDS; BROKEN where the whole interval is beyond the limit; OPEN where it contains the limit.
        needed: of an OPEN limit, how many inputs would settle it if they are like these; None: the value itself is not
            on the right side of the limit, or nothing can be said.
    """

    metric: str
    limit: Rule
    estimate: Estimate
    ruling: Ruling
    needed: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the limit holds."""
        return self.ruling is Ruling.HOLDS

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval."""
        return self.estimate.low, self.estimate.high

    @property
    def measured(self) -> str:
        """The metric and its value, with the interval where that decides."""
        one = self.estimate
        if self.limit.by_value:
            return f"{self.metric} {one.value:g}"
        return f"{self.metric} {one.value:.4f} ({one.low:.4f} to {one.high:.4f} of {one.count})"

    @property
    def line(self) -> str:
        """The finding as a line."""
        more = f"; about {self.needed} inputs would tell" if self.needed else ""
        return f"{self.measured}: {self.ruling.value}: {self.limit.text}{more}"


@dataclass(frozen=True)
class Proof:
    """What a network of lower precision was measured to be, against the fp32 network.

    Attributes:
        task: which decides about the limits.
        inputs: how many there were; sources: of how many different photos, digits or parts of a series they were made.
    """

    task: str
    inputs: int
    sources: int
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every limit holds."""
        return all(one.passed for one in self.findings)

    @property
    def lines(self) -> list[str]:
        """The findings as lines."""
        return [one.line for one in self.findings]

    @property
    def refusal(self) -> str | None:
        """Why it is not passed; None where it is."""
        return "; ".join(one.line for one in self.findings if not one.passed) or None

    @property
    def headline(self) -> str:
        """The measured agreement."""
        return next((one.measured for one in self.findings if not one.limit.by_value), "nothing was compared")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Proof:
        """A proof that `as_json` described, judged by the limits of this checkout.

        Raises:
            ValueError: it is malformed, or does not say what a limit is about.
        """
        try:
            task, recorded = document["task"], {one["metric"]: one for one in document["findings"]}
            findings = []
            for rule in LIMITS[task]:
                if (one := recorded.get(rule.measure)) is None:
                    if rule.measure in _WITH_LABELS:
                        continue
                    raise ValueError(f"it does not state: {rule.measure}")
                low, high = one["interval"]
                estimate = Estimate(
                    math.nan if one["estimate"] is None else float(one["estimate"]),
                    -math.inf if low is None else float(low),
                    math.inf if high is None else float(high),
                    int(one["count"]),
                    sure=one["sure"] is True,
                )
                findings.append(Finding(rule.measure, rule, estimate, rule.judge(estimate), one["needed"]))
            return cls(task, int(document["inputs"]), int(document["sources"]), tuple(findings))
        except (LookupError, TypeError, AttributeError) as exc:
            raise ValueError(f"it is malformed ({exc!r})") from exc

    def as_json(self) -> dict[str, Any]:
        """The proof as a JSON object; a bound that is not finite is null."""
        return {
            "format": FORMAT,
            "task": self.task,
            "passed": self.passed,
            "inputs": self.inputs,
            "sources": self.sources,
            "findings": [
                {
                    "metric": one.metric,
                    "limit": one.limit.limit,
                    "at_least": one.limit.at_least,
                    "text": one.limit.text,
                    "estimate": _finite(one.estimate.value),
                    "interval": [_finite(bound) for bound in one.interval],
                    "count": one.estimate.count,
                    "sure": one.estimate.sure,
                    "ruling": one.ruling.value,
                    "needed": one.needed,
                    "passed": one.passed,
                }
                for one in self.findings
            ],
        }


def prove(
    task: str,
    reference: Network,
    candidate: Network,
    inputs: Arrays,
    labels: npt.NDArray[np.integer] | None = None,
    *,
    sources: npt.NDArray[np.integer] | None = None,
    threshold: float | None = None,
    batch_size: int = 8,
    report: Callable[[int], None] = lambda done: None,
) -> Proof:
    """Ask two networks about the same inputs, and judge the second one's answers by the first one's.

    Args:
        task: a key of LIMITS.
        reference: the fp32 network, from a batch of inputs to its outputs, both by tensor name.
        candidate: the network of lower precision.
        inputs: by tensor name, [N, ...].
        labels: the right classes, [N]; None where nobody knows them.
        sources: of each input, the number of what it was made of, [N]; None: each is of a source of its own.
        threshold: of an anomaly detector.
        batch_size: inputs in a batch.
        report: called with the number of inputs that both networks have answered.

    Raises:
        ValueError: the task is unknown, or has no threshold.
    """
    count = len(next(iter(inputs.values())))
    expected: list[Arrays] = []
    found: list[Arrays] = []
    for start, batch in _batches(inputs, batch_size):
        expected.append(reference(batch))
        found.append(candidate(batch))
        report(min(start + batch_size, count))
    return judge(task, _joined(expected), _joined(found), count, labels, sources=sources, threshold=threshold)


def judge(
    task: str,
    expected: Arrays,
    found: Arrays,
    count: int,
    labels: npt.NDArray[np.integer] | None = None,
    *,
    sources: npt.NDArray[np.integer] | None = None,
    threshold: float | None = None,
) -> Proof:
    """Judge a network's outputs by those of the fp32 network; the other arguments are those of `prove`.

    Args:
        task: a key of LIMITS.
        expected: the fp32 network's outputs, by tensor name, [N, ...].
        found: the other network's.
        count: of inputs.
        labels: the right classes, [N].
        sources: of each input, [N].
        threshold: of an anomaly detector.

    Raises:
        ValueError: the task is unknown, or has no threshold.
    """
    if task not in LIMITS:
        raise ValueError(f"no limits are stated for the task {task!r}: there are {', '.join(LIMITS)}")
    origins = np.arange(count) if sources is None else np.asarray(sources, np.intp)
    whole = _whole(_plain(expected), _plain(found), count)
    measured = {
        INPUTS: _Measured(Estimate(count, count, count, count, sure=True)),
        WHOLE: _Measured(Estimate(whole, whole, whole, count, sure=True)),
    }
    if count and whole == 1:
        measured |= _MEASURES[task](_plain(expected), _plain(found), labels, origins, threshold)
    findings = tuple(_judged(rule, measured[rule.measure], count) for rule in LIMITS[task] if rule.measure in measured)
    return Proof(task, count, len(np.unique(origins)), findings)


@dataclass(frozen=True)
class _Measured:
    """An estimate; effect: how many of its samples say as much as one that is independent, None for a mean."""

    estimate: Estimate
    effect: float | None = None


_Measures = dict[str, _Measured]


def _judged(rule: Rule, measured: _Measured, count: int) -> Finding:
    estimate, ruling = measured.estimate, rule.judge(measured.estimate)
    needed = None
    if rule.measure == INPUTS:
        needed = None if ruling is Ruling.HOLDS else math.ceil(rule.limit)
    elif ruling is Ruling.OPEN and estimate.count and not rule.by_value:
        if measured.effect is not None:
            independent = statistics.samples_needed(estimate.value, rule.limit)
            needed = independent and math.ceil(independent * measured.effect * count / estimate.count)
        elif (room := (estimate.value - rule.limit) * (1 if rule.at_least else -1)) > 0:
            needed = math.ceil(count * ((estimate.high - estimate.low) / 2 / room) ** 2)
    return Finding(rule.measure, rule, estimate, ruling, needed)


def _share(agreed: npt.NDArray[np.bool_], sources: npt.NDArray[np.intp]) -> _Measured:
    effect = statistics.design_effect(agreed, sources) if len(agreed) else None
    return _Measured(statistics.clustered_share(agreed, sources), effect)


def _mean(values: npt.NDArray[np.float64], sources: npt.NDArray[np.intp]) -> _Measured:
    return _Measured(statistics.clustered_mean(values, sources))


def _classes(
    expected: Arrays,
    found: Arrays,
    labels: npt.NDArray[np.integer] | None,
    sources: npt.NDArray[np.intp],
    threshold: float | None,
) -> _Measures:
    """Of scores [N,C]. Which of several equal scores is named first is not a difference."""
    old, new = (np.asarray(next(iter(outputs.values())), np.float64) for outputs in (expected, found))
    old_best, new_best = (scores == scores.max(axis=1, keepdims=True) for scores in (old, new))
    row, first = np.arange(len(old)), old.argmax(axis=1)
    ties = (new_best.sum(axis=1) > 1) & (old_best.sum(axis=1) == 1)
    measured = {
        "top-1 agreement": _share((old_best & new_best).any(axis=1), sources),
        "ties": _share(ties, sources),
        "absolute score shift": _mean(np.abs(new[row, first] - old[row, first]), sources),
    }
    if labels is not None:
        was_right, is_right = first == labels, new.argmax(axis=1) == labels
        pairs = [int(np.count_nonzero((is_right == a) & (was_right == b))) for a, b in _PAIRS]
        measured["accuracy"] = _Measured(statistics.share(int(is_right.sum()), len(is_right)))
        measured["accuracy change"] = _Measured(statistics.paired_difference(*pairs))
    return measured


_PAIRS = ((True, True), (True, False), (False, True), (False, False))


def _boxes(
    expected: Arrays,
    found: Arrays,
    labels: npt.NDArray[np.integer] | None,
    sources: npt.NDArray[np.intp],
    threshold: float | None,
) -> _Measures:
    """Of what callers get: boxes above the threshold, after suppression. Every box of either network counts."""
    agreed: list[bool] = []
    origins: list[int] = []
    ious: list[float] = []
    shifts: list[float] = []
    paired: list[int] = []
    for number, source in enumerate(sources):
        (old, old_scores, old_classes), (new, new_scores, new_classes) = (
            _likely({name: values[number] for name, values in side.items()}) for side in (expected, found)
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


def _windows(
    expected: Arrays,
    found: Arrays,
    labels: npt.NDArray[np.integer] | None,
    sources: npt.NDArray[np.intp],
    threshold: float | None,
) -> _Measures:
    """Of the errors of windows."""
    if threshold is None:
        raise ValueError("an anomaly detector is proven with its threshold: state it")
    old, new = (np.asarray(outputs["mae"], np.float64).reshape(len(sources)) for outputs in (expected, found))
    return {
        "decisions that agree": _share((old > threshold) == (new > threshold), sources),
        "error shift": _mean(np.abs(new - old) / threshold, sources),
    }


_MEASURES: Mapping[str, Callable[..., _Measures]] = {
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


def _batches(inputs: Arrays, size: int) -> Iterator[tuple[int, Arrays]]:
    count = len(next(iter(inputs.values())))
    for start in range(0, count, size):
        yield start, {name: values[start : start + size] for name, values in inputs.items()}


def _joined(answers: Sequence[Arrays]) -> Arrays:
    """Answers to batches as one; outputs that are not in all of them are left out."""
    names = set.intersection(*(set(one) for one in answers)) if answers else set()
    return {name: np.concatenate([one[name] for one in answers]) for name in sorted(names)}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
