"""Rules for measures, applied to whole confidence intervals."""

from dataclasses import dataclass
from enum import Enum

from exporters.statistics import Estimate


class Finding(Enum):
    """What a confidence interval says about a rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    OPEN = "open"


@dataclass(frozen=True)
class Rule:
    """A limit for a measure; it applies only where that was measured.

    `by_value`: judge by the measured value, not by its interval: the samples are all that there are.
    """

    measure: str
    limit: float
    at_least: bool
    text: str
    by_value: bool = False

    def judge(self, estimate: Estimate) -> Finding:
        """HOLDS or BROKEN where the whole interval is on one side of the limit; OPEN where it contains the limit."""
        if not estimate.sure:
            return Finding.OPEN
        low, high = (estimate.value, estimate.value) if self.by_value else (estimate.low, estimate.high)
        worst, best = (low, high) if self.at_least else (-high, -low)
        limit = self.limit if self.at_least else -self.limit
        return Finding.HOLDS if worst >= limit else Finding.BROKEN if best < limit else Finding.OPEN
