"""Whether a series of measurements grows: its slope with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

WARM_UP = 0.2  # share of the samples that is left out
ARENAS_MB = 64.0  # what a process takes until each of its threads had the largest image
GROWTH = 0.05  # share of its level by which a series may have grown with certainty
# Triton does not release the threads of a process that died with a request; `TritonServer.worn` bounds them.
BOUNDED = frozenset({"Triton: threads", "Triton: files", "Triton: MB"})


@dataclass(frozen=True)
class Slope:
    """A straight line through a series: Theil and Sen's slope per hour, and its interval at 95 %.

    `level` is the median of the series, which was measured for `hours`.
    """

    name: str
    level: float
    per_hour: float
    low: float
    high: float
    hours: float

    @property
    def flat(self) -> bool:
        """Whether it has not grown for certain by more than `GROWTH` of its level, or by a few pieces."""
        least = ARENAS_MB if self.name.endswith("MB") else 2.0
        return self.name in BOUNDED or self.low * self.hours <= max(GROWTH * self.level, least)


def slope(name: str, at_s: Sequence[float], values: Sequence[float]) -> Slope:
    """The slope of a series without its warm-up."""
    first = int(WARM_UP * len(values))
    hours = [(at - at_s[first]) / 3600 for at in at_s[first:]]
    line = stats.theilslopes(values[first:], hours, 0.95)
    level = sorted(values[first:])[len(values[first:]) // 2]
    return Slope(name, level, float(line.slope), float(line.low_slope), float(line.high_slope), hours[-1])
