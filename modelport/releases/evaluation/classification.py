"""Measures of classes: accuracy, and of each class precision, recall and what it was confused with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from exporters import statistics
from exporters.statistics import Estimate
from modelport.releases.evaluation.outcomes import Outcome

ACCURACY, TOP_5 = "accuracy", "top-5 accuracy"
NO_ANSWER = "no answer"
_TOP = 5


def measures(outcomes: Sequence[Outcome]) -> dict[str, Estimate]:
    """Accuracy over all samples, with Wilson's interval; top-5 accuracy where five labels are answered."""
    found = {ACCURACY: statistics.share(sum(map(is_right, outcomes)), len(outcomes))}
    if any(one.given and len(one.given.labels) >= _TOP for one in outcomes):
        right = [one.given is not None and one.right.labels[0] in one.given.labels[:_TOP] for one in outcomes]
        found[TOP_5] = statistics.share(sum(right), len(outcomes))
    return found


def is_right(outcome: Outcome) -> bool:
    """Whether the best label is the right one."""
    return answered(outcome) == outcome.right.labels[0]


def answered(outcome: Outcome) -> str:
    """The best label, or NO_ANSWER."""
    return outcome.given.labels[0] if outcome.given else NO_ANSWER


def confusion(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """How often each label was answered, by the right label; what did not occur is left out."""
    rows: dict[str, Counter[str]] = {}
    for one in outcomes:
        rows.setdefault(one.right.labels[0], Counter())[answered(one)] += 1
    return {label: dict(row.most_common()) for label, row in sorted(rows.items())}


def classes(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Of each class: samples, precision and recall, each None where there is nothing to divide by."""
    matrix = confusion(outcomes)
    given = Counter(answered(one) for one in outcomes)
    found = {}
    for label in sorted({*matrix, *given} - {NO_ANSWER}):
        row = matrix.get(label, {})
        right, count = row.get(label, 0), sum(row.values())
        found[label] = {"samples": count, "precision": _share(right, given[label]), "recall": _share(right, count)}
    return found


def worse_p(new_only: int, old_only: int) -> float:
    """McNemar's exact test, two-sided: the probability of such a difference if both were equally often right.

    Args:
        new_only: samples that only the new release answers rightly.
        old_only: samples that only the old one does.
    """
    discordant = new_only + old_only
    return float(stats.binomtest(new_only, discordant).pvalue) if discordant else 1.0


def _share(right: int, count: int) -> Mapping[str, float] | None:
    if not count:
        return None
    estimate = statistics.share(right, count)
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
