"""Judges a canary: a pure function from counts to an outcome with its reasons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from kserve_transformers.judging import evidence

STEPS = (1, 5, 25, 50, 100)
FALSE_REVERTS = 0.01  # of all rollouts of a release that is as good as the stable one
FALSE_STEPS = 0.05  # the same for steps of a release that is worse than the tolerances below
_MAX_TOLERANCE = 0.5  # with 1 nothing could be too bad, and no request would be needed to show it
_STATISTICS = 3  # rules that can revert by chance: errors, latency, shadow pairs


@dataclass(frozen=True)
class Tally:
    """Observations of one side, and how many of them were bad (a shadow pair of a detector may be bad in part)."""

    bad: float = 0
    total: int = 0


@dataclass(frozen=True)
class Counts:
    """What was seen of both sides since the present step began."""

    # errors, stable_errors: answered requests, and those of them without success
    errors: Tally = Tally()
    stable_errors: Tally = Tally()
    # slow, stable_slow: answered requests, and those that took longer than a limit: the first bucket of the histogram
    # at or above the 95th percentile of the stable side, as it was when the step began
    slow: Tally = Tally()
    stable_slow: Tally = Tally()
    # shadow pairs of the release, and those whose answers differ; None where it was no shadow
    disagreement: Tally | None = None
    # the largest error of a golden answer of the canary as a share of what is allowed; None if unknown
    golden_drift: float | None = None
    # how many more containers of the canary than of the stable side ended; None where nobody counts them
    crashes: int | None = None


class Outcome(Enum):
    """What to do with a canary."""

    PROMOTE = "promote"
    REVERT = "revert"
    HOLD = "hold"


@dataclass(frozen=True)
class Judgement:
    """An outcome."""

    outcome: Outcome
    percent: int  # the canary's share from now on; 100 for the stable release, 0 for none
    reasons: tuple[str, ...]  # one phrase for each rule that decided; of a hold those that are open


@dataclass(frozen=True)
class Rule:
    """A limit for the difference between the rates of the two sides."""

    name: str  # of the rate
    margin: float  # more than the stable rate plus this reverts
    # less than the stable rate plus this may serve all requests. A step to a smaller share tolerates more: what counts
    # is how many of all requests would suffer.
    tolerance: float

    def worse(self, canary: Tally, stable: Tally, alpha: float) -> npt.NDArray[np.bool_]:
        """Whether the canary is proven to be worse than the margin; tallies of arrays give an array."""
        found = evidence.log_evidence_worse(canary.bad, canary.total, stable.bad, stable.total, self.margin)
        return np.asarray(found >= -math.log(alpha))

    def harmless(self, canary: Tally, stable: Tally, next_percent: int) -> npt.NDArray[np.bool_]:
        """Whether the canary is proven to be good enough for a share of the requests."""
        # "the canary is worse by the tolerance or more" is "stable is at most the canary minus the tolerance"
        margin = -self.tolerated(next_percent)
        found = evidence.log_evidence_worse(stable.bad, stable.total, canary.bad, canary.total, margin)
        return np.asarray((found >= -math.log(FALSE_STEPS)) & (np.asarray(canary.total) > 0))

    def tolerated(self, next_percent: int) -> float:
        """The tolerance for a step to a share."""
        return min(100 * self.tolerance / next_percent, _MAX_TOLERANCE)

    def judge(self, canary: Tally, stable: Tally, alpha: float, next_percent: int) -> tuple[Outcome, str]:
        """What the rule says alone; HOLD where too little is known."""
        told = f"{self.name}: canary {_told(canary)}, stable {_told(stable)}"
        if self.worse(canary, stable, alpha):
            return Outcome.REVERT, told + (f": worse by more than {_points(self.margin)}" if self.margin else ": worse")
        points = _points(self.tolerated(next_percent))
        if self.harmless(canary, stable, next_percent):
            return Outcome.PROMOTE, f"{told}: worse by less than {points}"
        return Outcome.HOLD, f"{told}: may be worse by {points}"


ERRORS = Rule("errors", margin=0.0, tolerance=0.01)
SLOW = Rule("slow requests", margin=0.05, tolerance=0.1)
MAX_CRASHES = 2  # one may be chance, such as a node that had no memory left
MAX_DISAGREEMENT = 0.1  # as in comparison.verdict.RULES


def check_steps(steps: Sequence[int]) -> tuple[int, ...]:
    """The shares of a rollout in per cent.

    Raises:
        ValueError: they do not grow, or do not go from 1 or more to 100.
    """
    if not steps or steps[0] < 1 or steps[-1] != 100 or any(a >= b for a, b in itertools.pairwise(steps)):
        raise ValueError(f"steps must grow and end with 100, such as {','.join(map(str, STEPS))}")
    return tuple(steps)


def error_budget(steps: Sequence[int]) -> float:
    """The probability of a false revert that one rule has at one step."""
    return FALSE_REVERTS / (_STATISTICS * max(1, len(steps) - 1))


def judge(counts: Counts, percent: int, steps: Sequence[int] = STEPS) -> Judgement:
    """Judge a canary at one of its steps. It may be asked at any time and as often as one likes.

    A release that is as good as the stable one is reverted with a probability of at most FALSE_REVERTS in the whole
    rollout: the budget is shared by the rules and the steps, and looking costs nothing. Failures that come in bursts
    rather than independently weigh more than they should.

    Args:
        counts: since the step began.
        percent: the canary's share.
        steps: see check_steps.
    """
    alpha, following = error_budget(steps), next(step for step in (*steps, 100) if step > percent)
    found = [
        ERRORS.judge(counts.errors, counts.stable_errors, alpha, following),
        SLOW.judge(counts.slow, counts.stable_slow, alpha, following),
    ]
    if counts.disagreement is not None:
        found.append(_judge_disagreement(counts.disagreement, alpha))
    if counts.golden_drift is not None:
        found.append(_judge_golden(counts.golden_drift))
    if counts.crashes is not None:  # nobody counts the requests that end with a container
        crashed = Outcome.REVERT if counts.crashes > MAX_CRASHES else Outcome.PROMOTE
        found.append((crashed, f"crashes: {counts.crashes} more than of the stable release"))
    for outcome, share in ((Outcome.REVERT, 0), (Outcome.HOLD, percent)):
        reasons = tuple(reason for one, reason in found if one is outcome)
        if reasons:
            return Judgement(outcome, share, reasons)
    return Judgement(Outcome.PROMOTE, following, tuple(reason for _, reason in found))


def _judge_disagreement(pairs: Tally, alpha: float) -> tuple[Outcome, str]:
    told = f"shadow pairs: {_told(pairs)} differ"
    if evidence.log_evidence_above(pairs.bad, pairs.total, MAX_DISAGREEMENT) >= -math.log(alpha):
        return Outcome.REVERT, f"{told}: more than {100 * MAX_DISAGREEMENT:g} %"
    if evidence.log_evidence_below(pairs.bad, pairs.total, MAX_DISAGREEMENT) >= -math.log(FALSE_STEPS):
        return Outcome.PROMOTE, f"{told}: less than {100 * MAX_DISAGREEMENT:g} %"
    return Outcome.HOLD, f"{told}: not known yet to be less than {100 * MAX_DISAGREEMENT:g} %"


def _judge_golden(drift: float) -> tuple[Outcome, str]:
    told = f"golden answer: {100 * drift:.3g} % of the error that is allowed"
    return (Outcome.PROMOTE if drift <= 1 else Outcome.REVERT), told


def _points(difference: float) -> str:
    return f"{100 * difference:g} percentage point" + "s" * (difference != 0.01)


def _told(tally: Tally) -> str:
    if not tally.total:
        return "no requests"
    low, high = evidence.interval(tally.bad, tally.total, 0.05)
    return f"{tally.bad:g} of {tally.total} ({100 * low:.3g} to {100 * high:.3g} %)"
