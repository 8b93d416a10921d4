"""May the new release take the old one's place? By rules that are declared here, and by whole confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from modelport.releases.comparison.statistics import Estimate


class Finding(Enum):
    """What an interval says of a rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    OPEN = "open"


@dataclass(frozen=True)
class Rule:
    """A limit for a measure; a measure that was not taken has no rule to keep."""

    measure: str
    limit: float
    at_least: bool
    text: str

    def judge(self, estimate: Estimate) -> Finding:
        """Holds or is broken where the whole interval says so, and is open where it lies across the limit."""
        if not estimate.sure:
            return Finding.OPEN
        worst, best = (estimate.low, estimate.high) if self.at_least else (-estimate.high, -estimate.low)
        limit = self.limit if self.at_least else -self.limit
        return Finding.HOLDS if worst >= limit else Finding.BROKEN if best < limit else Finding.OPEN


RULES: Sequence[Rule] = (
    Rule("agreement", 0.9, True, "at least 90 % of answers (the detector's: of boxes) agree"),
    Rule("iou", 0.8, True, "boxes that agree overlap by an IoU of at least 0.8 on average"),
    Rule("absolute score shift", 0.1, False, "scores move by at most 0.1 on average"),
    Rule("latency ratio", 1.25, False, "an answer takes at most 1.25 times as long"),
    Rule("memory ratio", 1.25, False, "at most 1.25 times the memory"),
)


@dataclass(frozen=True)
class Verdict:
    """What all rules say together, in words and as an exit code."""

    text: str
    exit_code: int


INTERCHANGEABLE = Verdict("interchangeable: every rule holds", 0)
DIFFERENT = Verdict("different: a rule is broken; look at the pictures before you release it", 3)
UNDECIDED = Verdict("undecided: too few samples for at least one rule, none is broken; give more by DATA=folder", 4)


def findings(measures: Mapping[str, Estimate], rules: Sequence[Rule] = RULES) -> dict[Rule, Finding]:
    """Each rule that applies, and what becomes of it."""
    return {rule: rule.judge(measures[rule.measure]) for rule in rules if rule.measure in measures}


def verdict(found: Mapping[Rule, Finding]) -> Verdict:
    """The verdict."""
    if Finding.BROKEN in found.values():
        return DIFFERENT
    return UNDECIDED if Finding.OPEN in found.values() else INTERCHANGEABLE
