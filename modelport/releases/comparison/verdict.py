"""Judges whether a new release may replace the old one: declared rules, applied to whole confidence intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporters.rules import Finding, Rule
from exporters.statistics import Estimate

RULES: Sequence[Rule] = (
    Rule("agreement", 0.9, True, "at least 90 % of the answers (of a detector: of the boxes) agree"),
    Rule("iou", 0.8, True, "the mean IoU of boxes that agree is at least 0.8"),
    Rule("absolute score shift", 0.1, False, "scores change by at most 0.1 on average"),
    Rule("latency ratio", 1.25, False, "the latency is at most 1.25 times the old one"),
    Rule("memory ratio", 1.25, False, "the memory is at most 1.25 times the old one"),
)


@dataclass(frozen=True)
class Verdict:
    """The result of all rules, as text and as the exit code of the command."""

    text: str
    exit_code: int


INTERCHANGEABLE = Verdict("interchangeable: every rule holds", 0)
DIFFERENT = Verdict("different: a rule is broken; read the report before you release it", 3)
OPEN = 4  # the exit code of a comparison that needs more of something
SAMPLES = "samples; add some with --data DIR (make: DATA=DIR)"


def undecided(needed: str) -> Verdict:
    """No rule is broken, and at least one is open: it needs more of something."""
    return Verdict(f"undecided: no rule is broken, but at least one needs more {needed}", OPEN)


def findings(measures: Mapping[str, Estimate], rules: Sequence[Rule] = RULES) -> dict[Rule, Finding]:
    """The finding for each rule that applies."""
    return {rule: rule.judge(measures[rule.measure]) for rule in rules if rule.measure in measures}


def verdict(found: Mapping[Rule, Finding], needed: str = SAMPLES) -> Verdict:
    """The verdict that follows from the findings; `needed` is what an open rule needs more of."""
    if Finding.BROKEN in found.values():
        return DIFFERENT
    return undecided(needed) if Finding.OPEN in found.values() else INTERCHANGEABLE
