"""Sends every sample to both releases in turn, and summarises the answers as numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from exporters import statistics
from exporters.statistics import Estimate
from kserve_transformers.judging.answers import Answer, Difference, difference
from modelport.releases.comparison.caller import RefusedError
from modelport.releases.comparison.samples import Sample
from modelport.releases.comparison.side import Side
from modelport.releases.errors import ComparisonError

WARM_UP = 3  # requests to each release that are not measured
MIN_PAIRS = 40  # timed pairs of answers; fewer samples are sent repeatedly


@dataclass(frozen=True)
class Compared:
    """A sample and both answers to it."""

    sample: Sample
    old: Answer
    new: Answer
    difference: Difference


@dataclass
class Observations:
    """What was measured."""

    compared: list[Compared] = field(default_factory=list)  # each accepted sample once
    refused: dict[str, str] = field(default_factory=dict)  # samples that a release did not accept: the message by name
    # old_ms, new_ms: latency of each pair of answers in ms, in the order in which they were sent
    old_ms: list[float] = field(default_factory=list)
    new_ms: list[float] = field(default_factory=list)
    # old_mib, new_mib: memory in MiB, at regular intervals
    old_mib: list[float] = field(default_factory=list)
    new_mib: list[float] = field(default_factory=list)
    models: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by side, the state of its models


def run(old: Side, new: Side, samples: Sequence[Sample]) -> Observations:
    """Send samples to both releases alternately, so that other load on the machine affects both alike.

    Shows a progress bar on a terminal.

    Raises:
        ComparisonError: a release did not answer, or no sample was accepted.
    """
    observations = Observations(models={"old": old.models(), "new": new.models()})
    observations.refused = {sample.name: reason for sample in samples if (reason := _refusal(old, new, sample))}
    usable = [sample for sample in samples if sample.name not in observations.refused]
    if not usable:
        raise ComparisonError(f"the service accepts none of the samples: {next(iter(observations.refused.values()))}")
    for _ in range(WARM_UP):
        old.infer(usable[0])
        new.infer(usable[0])
    total = max(len(usable), MIN_PAIRS)
    memory_interval = max(1, total // MIN_PAIRS)
    sequence = itertools.islice(itertools.cycle(usable), total)
    for number, sample in enumerate(tqdm(sequence, total=total, unit="pair", disable=None)):
        answers = {one.name: one.infer(sample) for one in ((old, new) if number % 2 else (new, old))}
        (before, old_s), (after, new_s) = answers[old.name], answers[new.name]
        observations.old_ms.append(old_s * 1000)
        observations.new_ms.append(new_s * 1000)
        if number < len(usable):
            observations.compared.append(Compared(sample, before, after, difference(before, after)))
        if number % memory_interval == 0:
            observations.old_mib.append(old.memory_mib())
            observations.new_mib.append(new.memory_mib())
    return observations


def _refusal(old: Side, new: Side, sample: Sample) -> str | None:
    for one in (old, new):
        try:
            one.infer(sample)
        except RefusedError as exc:
            return f"{one.name}: {exc}"
    return None


def measures(observations: Observations) -> dict[str, Estimate]:
    """The measures of a comparison, by name."""
    found = answer_measures(observations.compared)
    found["old latency, ms"] = statistics.median(observations.old_ms)
    found["new latency, ms"] = statistics.median(observations.new_ms)
    found["latency ratio"] = statistics.ratio_of_medians(observations.new_ms, observations.old_ms)
    found["old memory, MiB"] = statistics.median(observations.old_mib)
    found["new memory, MiB"] = statistics.median(observations.new_mib)
    found["memory ratio"] = statistics.ratio_of_medians(observations.new_mib, observations.old_mib)
    return found


def answer_measures(compared: Sequence[Compared]) -> dict[str, Estimate]:
    """The measures of at least one pair of answers, by name."""
    differences = [one.difference for one in compared]
    answer = compared[0].old
    agreed, counts = [float(d.agreed) for d in differences], [float(d.count) for d in differences]
    found: dict[str, Estimate] = {}
    if answer.boxes is not None:
        found["agreement"] = statistics.ratio_of_sums(agreed, counts)
        ious = [iou for d in differences for iou in d.ious]
        if ious:
            found["iou"] = statistics.mean(ious)
    else:
        found["agreement"] = statistics.share(int(sum(agreed)), len(differences))
    shifts = [shift for d in differences for shift in d.shifts]
    if shifts:
        # No rule limits errors: they have the unit of the input.
        found[f"{answer.measure} shift"] = statistics.mean(shifts)
        found[f"absolute {answer.measure} shift"] = statistics.mean([abs(shift) for shift in shifts])
    return found
