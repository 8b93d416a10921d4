"""The arithmetic of a measurement: percentiles, medians over rounds, ratios."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

# A server is saturated from the least concurrency with this share of its highest throughput.
NEAR_BEST = 0.95


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of all values lies, interpolated linearly; nan for no values.

    Args:
        values: in any order.
        share: 0..1.
    """
    return float(np.percentile(values, 100 * share)) if values else math.nan


@dataclass(frozen=True)
class Spread:
    """A figure over several rounds."""

    median: float
    iqr: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Median and interquartile range, without nan."""
        known = [value for value in values if not math.isnan(value)]
        if not known:
            return cls(math.nan, math.nan)
        return cls(statistics.median(known), percentile(known, 0.75) - percentile(known, 0.25))


@dataclass(frozen=True)
class Point:
    """One measurement of one round."""

    case: str  # key of `cases.CASES`
    system: str  # ours, legacy, kserve, raw or "in process"
    protocol: str  # of the requests; the batch size of the raw model
    concurrency: int  # connections that always have a request under way; processes of the raw model
    round: int  # from 0
    requests: int  # that succeeded in `seconds`
    failures: Mapping[str, int]  # how many requests did not, by outcome
    seconds: float  # the time that was measured
    # p50_ms, p95_ms, p99_ms: response times of the requests that succeeded
    p50_ms: float
    p95_ms: float
    p99_ms: float
    server_cpu_ms: float  # processor time of the server's processes per request
    caller_cpu: float  # share of one core that the load generator used
    other_cpu: float  # share of all cores that neither of them used: a measure of disturbance
    stages_ms: Mapping[str, float]  # means of Server-Timing
    pace_ms: float  # the machine's own speed, see `metering.pace_ms`

    @property
    def rate(self) -> float:
        """Requests per second that succeeded."""
        return self.requests / self.seconds

    @property
    def failed(self) -> int:
        """How many requests did not succeed."""
        return sum(self.failures.values())

    @property
    def setting(self) -> tuple[str, str, str, int]:
        """What identifies the point, except for the round."""
        return self.case, self.system, self.protocol, self.concurrency


@dataclass(frozen=True)
class Row:
    """A setting over all rounds; `requests` is the minimum of a round."""

    case: str
    system: str
    protocol: str
    concurrency: int
    rounds: int
    requests: int
    failed: int
    rate: Spread
    p50_ms: Spread
    p95_ms: Spread
    p99_ms: Spread
    server_cpu_ms: Spread
    caller_cpu: float
    other_cpu: float
    stages_ms: Mapping[str, float]


def rows(points: Iterable[Point]) -> list[Row]:
    """Aggregate the rounds of each setting, in the order in which settings were first measured."""
    settings: dict[tuple[str, str, str, int], list[Point]] = {}
    for point in points:
        settings.setdefault(point.setting, []).append(point)
    return [_row(group) for group in settings.values()]


def _row(group: Sequence[Point]) -> Row:
    first = group[0]
    stages = {name: statistics.median(point.stages_ms.get(name, 0.0) for point in group) for name in first.stages_ms}
    return Row(
        *first.setting,
        rounds=len(group),
        requests=min(point.requests for point in group),
        failed=sum(point.failed for point in group),
        rate=Spread.of(point.rate for point in group),
        p50_ms=Spread.of(point.p50_ms for point in group),
        p95_ms=Spread.of(point.p95_ms for point in group),
        p99_ms=Spread.of(point.p99_ms for point in group),
        server_cpu_ms=Spread.of(point.server_cpu_ms for point in group),
        caller_cpu=statistics.median(point.caller_cpu for point in group),
        other_cpu=statistics.median(point.other_cpu for point in group),
        stages_ms=stages,
    )


def saturation(same: Iterable[Row]) -> Row | None:
    """The row of the least concurrency whose throughput is near the highest; None for no rows."""
    known = list(same)
    best = max((row.rate.median for row in known), default=0.0)
    near = [row for row in known if row.rate.median >= NEAR_BEST * best]
    return min(near, key=lambda row: row.concurrency, default=None)


def best(same: Iterable[Row]) -> Row | None:
    """The row of the highest throughput; None for no rows."""
    return max(same, key=lambda row: row.rate.median, default=None)
