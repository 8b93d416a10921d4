"""Asks both releases about every sample, in turn, and makes numbers of the answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelport.releases.comparison import statistics
from modelport.releases.comparison.answers import Answer, Difference, difference
from modelport.releases.comparison.samples import Sample
from modelport.releases.comparison.side import RefusedError, Side
from modelport.releases.comparison.statistics import Estimate
from modelport.releases.errors import ComparisonError

WARM_UP = 3
LEAST_PAIRS = 40  # of timed answers: samples that are fewer are asked about again


@dataclass(frozen=True)
class Compared:
    """One sample and both answers to it."""

    sample: Sample
    old: Answer
    new: Answer
    difference: Difference


@dataclass
class Course:
    """What was seen.

    Attributes:
        compared: each sample once.
        refused: samples that one of them does not take: name, and what it said.
        old_ms, new_ms: of each pair of answers, in the order in which they came.
        old_mb, new_mb: memory, after each round through the samples and evenly in between.
        models: by side, what its models say of themselves.
    """

    compared: list[Compared] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    old_ms: list[float] = field(default_factory=list)
    new_ms: list[float] = field(default_factory=list)
    old_mb: list[float] = field(default_factory=list)
    new_mb: list[float] = field(default_factory=list)
    models: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def run(
    old: Side,
    new: Side,
    samples: Sequence[Sample],
    progress: Callable[[Iterable[Sample], int], Iterable[Sample]] = lambda samples, total: samples,
) -> Course:
    """Ask old and new in turn: whatever else the machine does at that time meets both.

    Args:
        old: a release.
        new: the one that may take its place.
        samples: what to ask about.
        progress: shows how many of the total were asked.

    Raises:
        ComparisonError: a side did not answer, or takes no sample.
    """
    course = Course(models={"old": old.models(), "new": new.models()})
    course.refused = {sample.name: reason for sample in samples if (reason := _refusal(old, new, sample))}
    usable = [sample for sample in samples if sample.name not in course.refused]
    if not usable:
        raise ComparisonError(f"no sample is one that the service takes: {next(iter(course.refused.values()))}")
    for _ in range(WARM_UP):
        old.ask(usable[0])
        new.ask(usable[0])
    total = max(len(usable), LEAST_PAIRS)
    every = max(1, total // LEAST_PAIRS)
    for number, sample in enumerate(progress(itertools.islice(itertools.cycle(usable), total), total)):
        sides = (old, new) if number % 2 else (new, old)
        asked = {one.name: one.ask(sample) for one in sides}
        (before, old_s), (after, new_s) = asked[old.name], asked[new.name]
        course.old_ms.append(old_s * 1000)
        course.new_ms.append(new_s * 1000)
        if number < len(usable):
            course.compared.append(Compared(sample, before, after, difference(before, after)))
        if number % every == 0:
            course.old_mb.append(old.memory_mb())
            course.new_mb.append(new.memory_mb())
    return course


def _refusal(old: Side, new: Side, sample: Sample) -> str | None:
    for one in (old, new):
        try:
            one.ask(sample)
        except RefusedError as exc:
            return f"{one.name}: {exc}"
    return None


def measures(task: str, course: Course) -> dict[str, Estimate]:
    """The numbers, by name."""
    differences = [one.difference for one in course.compared]
    agreed, counts = [float(d.agreed) for d in differences], [float(d.count) for d in differences]
    found: dict[str, Estimate] = {}
    if task == "detection":
        found["agreement"] = statistics.ratio_of_sums(agreed, counts)
        ious = [iou for d in differences for iou in d.ious]
        if ious:
            found["iou"] = statistics.mean(ious)
    else:
        found["agreement"] = statistics.share(int(sum(agreed)), len(differences))
    shifts = [shift for d in differences for shift in d.shifts]
    if shifts:
        unit = "error" if task == "anomaly" else "score"  # an error has the unit of its series: no rule fits all
        found[f"{unit} shift"] = statistics.mean(shifts)
        found[f"absolute {unit} shift"] = statistics.mean([abs(shift) for shift in shifts])
    found["old latency, ms"] = statistics.median(course.old_ms)
    found["new latency, ms"] = statistics.median(course.new_ms)
    found["latency ratio"] = statistics.ratio_of_medians(course.new_ms, course.old_ms)
    found["old memory, MiB"] = statistics.median(course.old_mb)
    found["new memory, MiB"] = statistics.median(course.new_mb)
    found["memory ratio"] = statistics.ratio_of_medians(course.new_mb, course.old_mb)
    return found
