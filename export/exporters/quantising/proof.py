"""The paired proof: a network of lower precision answers as the fp32 network does, on the same inputs.

A proof is a pure function of two networks' answers. LIMITS states beforehand what must hold of each task. A limit holds
where the whole 95 % confidence interval is on its right side, so that a network which is exactly at a limit passes one
time in forty at most; where the interval contains the limit, more inputs are needed, and the proof says how many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import statistics
from exporters.quantising.batches import Arrays, Network, batches, joined
from exporters.quantising.measures import INPUTS, WHOLE, Compared, Measured, measure
from exporters.rules import Finding as Ruling
from exporters.rules import Rule
from exporters.statistics import Estimate

FORMAT = 1
FEWEST_INPUTS = 500
_ENOUGH = Rule(INPUTS, FEWEST_INPUTS, True, f"there are at least {FEWEST_INPUTS} inputs", by_value=True)
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
    """What was measured, and what that says about a limit."""

    metric: str  # its name
    limit: Rule  # the rule, with its limit
    estimate: Estimate  # the measured value with its confidence interval; count is of inputs, or of boxes
    ruling: Ruling  # HOLDS; BROKEN where the whole interval is beyond the limit; OPEN where it contains the limit
    # of an OPEN limit, how many inputs would settle it if they are like these; None: the value itself is not on the
    # right side of the limit, or nothing can be said
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
    """What a network of lower precision was measured to be, against the fp32 network."""

    task: str  # which decides about the limits
    inputs: int  # how many there were
    sources: int  # of how many different photos, digits or parts of a series they were made
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
    expected: list[Arrays] = []
    found: list[Arrays] = []
    done = 0
    for batch in batches(inputs, batch_size):
        expected.append(reference(batch))
        found.append(candidate(batch))
        done += len(next(iter(batch.values())))
        report(done)
    return judge(task, joined(expected), joined(found), done, labels, sources=sources, threshold=threshold)


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
    measured = measure(task, Compared(expected, found, origins, labels, threshold))
    findings = tuple(_judged(rule, measured[rule.measure], count) for rule in LIMITS[task] if rule.measure in measured)
    return Proof(task, count, len(np.unique(origins)), findings)


def _judged(rule: Rule, measured: Measured, count: int) -> Finding:
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


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
