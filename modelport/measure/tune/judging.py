"""Which candidate is best, and whether it is better than the present one: pure functions of what was measured.

Shared machines change their speed from one minute to the next. Each turn of a candidate is therefore compared with the
turn of the present configuration in the same round, and what counts is the ratio of the two. The search proposes; a
final comparison, of turns that the search has not seen, decides: otherwise the luckiest of many equal candidates wins.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from modelport.measure.bench.figures import percentile

Profile = Literal["latency", "throughput"]
Name = TypeVar("Name")
# One-sided, of the interval around the median of ratios; rounds below LEAST_PAIRS cannot reach it.
CONFIDENCE = 0.95
LEAST_PAIRS = 5
LEAST_GAIN = 1.03  # less is not worth a change
# A latency profile may cost this much throughput; a throughput profile may make p99 at saturation this much larger.
MOST_LOST, MOST_SLOWER = 0.2, 1.5


@dataclass(frozen=True)
class Turn:
    """What was measured of a candidate in one round."""

    alone_ms: Sequence[float]  # latencies of one caller
    busy_ms: Sequence[float]  # latencies of callers that saturate the model
    rate: float  # inferences per second at saturation
    memory_mb: float = 0.0  # of the model's processes, proportional set size
    others: float = 0.0  # share of all cores that other processes used at saturation

    def speed(self, profile: Profile) -> float:
        """What the profile wants most of: answers per second to one caller (of the median), or at saturation."""
        return self.rate if profile == "throughput" else 1000 / statistics.median(self.alone_ms)

    def __str__(self) -> str:
        alone = f"p50 {statistics.median(self.alone_ms):.1f} ms of one caller"
        return f"{alone}, {self.rate:.1f} inferences/s, {self.memory_mb:.0f} MB"


Rounds = Mapping[int, Turn]  # by the number of the round


def ratios(present: Rounds, other: Rounds, profile: Profile) -> list[float]:
    """The speed of a candidate over that of the present configuration, in each round that has both."""
    return [other[turn].speed(profile) / present[turn].speed(profile) for turn in sorted(present.keys() & other.keys())]


def lower_bound(values: Sequence[float]) -> float:
    """A bound that the median is above with a probability of CONFIDENCE, whatever the distribution; -inf for too few.

    It is the k-th smallest value, with the largest k for which k - 1 or fewer of n fair coins show heads in no more
    than 5 % of the cases (the sign test, inverted).
    """
    count, tail, found = len(values), 0.0, -math.inf
    for heads, value in enumerate(sorted(values)):
        tail += math.comb(count, heads) / 2**count
        if tail > 1 - CONFIDENCE:
            break
        found = value
    return found


def p99_ms(rounds: Rounds, *, busy: bool) -> float:
    """Over all turns."""
    return percentile([ms for turn in rounds.values() for ms in (turn.busy_ms if busy else turn.alone_ms)], 0.99)


@dataclass(frozen=True)
class Judge:
    """What a profile asks for."""

    profile: Profile  # what is wanted most
    # bound of p99 at saturation for the throughput profile; None: MOST_SLOWER times the present one
    p99_ms: float | None = None
    memory_mb: float = math.inf  # bound of the memory of the model's processes

    def objection(self, present: Rounds, other: Rounds) -> str | None:
        """Why a candidate may not be chosen, however fast it is; None where nothing speaks against it."""
        memory = statistics.median(turn.memory_mb for turn in other.values())
        if memory > self.memory_mb:
            return f"{memory:.0f} MB, above the bound of {self.memory_mb:g}"
        if self.profile == "latency":
            kept = statistics.median(ratios(present, other, "throughput"))
            return f"throughput falls to {kept:.0%} of the present" if kept < 1 - MOST_LOST else None
        found = p99_ms(other, busy=True)
        if self.p99_ms is not None:
            return f"p99 {found:.1f} ms, above the bound of {self.p99_ms:g}" if found > self.p99_ms else None
        slower = found / p99_ms(present, busy=True)
        return f"p99 at saturation is {slower:.1f} times the present" if slower > MOST_SLOWER else None

    def best(self, present: Name, measured: Mapping[Name, Rounds]) -> Name:
        """The candidate to have, among those without objection; the present one where there is none.

        That is the one with the highest median ratio, or the smallest of those that differ from it by too little to
        matter.
        """
        own = measured[present]
        fit = {name: rounds for name, rounds in measured.items() if not self.objection(own, rounds)}
        speeds = {name: statistics.median(ratios(own, rounds, self.profile)) for name, rounds in fit.items()}
        near = [name for name, speed in speeds.items() if speed * LEAST_GAIN >= max(speeds.values())]
        if present in near or not near:
            return present
        return min(near, key=lambda name: statistics.median(turn.memory_mb for turn in fit[name].values()))

    def verdict(self, present: Rounds, other: Rounds) -> tuple[bool, str]:
        """Whether a candidate replaces the present configuration, after a comparison of their own, and why."""
        found = ratios(present, other, self.profile)
        if len(found) < LEAST_PAIRS:
            return False, f"{len(found)} comparisons are too few to decide ({LEAST_PAIRS} are needed): allow more time"
        gain, low = statistics.median(found), lower_bound(found)
        said = f"{self.profile} {gain:.2f} times the present (at least {low:.2f}, {len(found)} comparisons)"
        if objection := self.objection(present, other):
            return False, f"{said}, but {objection}"
        if self.objection(present, present):
            return True, f"{said}, and the present one does not keep the bound"
        if low <= 1 or gain < LEAST_GAIN:
            return False, f"{said}: not more than the noise" if low <= 1 else f"{said}: too little to matter"
        return True, said
