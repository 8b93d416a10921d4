"""Replays rollouts that never happened: how often the judge reverts a release, and after how many requests.

`python -P tests/support/judge_replays.py` prints the table of docs/releases.md.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporters.table import table
from kserve_transformers.judging.judge import ERRORS, SLOW, STEPS, Tally, error_budget

Ints = npt.NDArray[np.int64]

LOOKS = 60  # at each step, ever farther apart
MAX_REQUESTS = 2_000_000  # at each step, of both sides
BASE_ERRORS, BASE_SLOW = 0.01, 0.04
WORSE = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
REPLAYS = 300


@dataclass(frozen=True)
class Replays:
    """What became of rollouts.

    Attributes:
        reverted, promoted: whether each was; neither where the judge still holds after MAX_REQUESTS.
        requests: of both sides until the end of each.
    """

    reverted: npt.NDArray[np.bool_]
    promoted: npt.NDArray[np.bool_]
    requests: Ints


def replay(rng: np.random.Generator, replays: int, errors: float, slow: float, base_errors: float) -> Replays:
    """Roll out a release many times, by the judge's own rules.

    Args:
        rng: seeded.
        errors, slow: how much higher the canary's rates are.
        base_errors: the stable release's rate of errors.
    """
    looks = np.unique(np.geomspace(10, MAX_REQUESTS, LOOKS).astype(np.int64))
    running, reverted = np.ones(replays, bool), np.zeros(replays, bool)
    requests = np.zeros(replays, np.int64)
    alpha = error_budget(STEPS)
    for percent, following in itertools.pairwise(STEPS):
        canary_total, stable_total = _split(rng, looks, percent, replays)
        fine, worse = np.ones(canary_total.shape, bool), np.zeros(canary_total.shape, bool)
        for rule, base, more in ((ERRORS, base_errors, errors), (SLOW, BASE_SLOW, slow)):
            canary, stable = _tally(rng, canary_total, base + more), _tally(rng, stable_total, base)
            worse |= rule.worse(canary, stable, alpha)
            fine &= rule.harmless(canary, stable, following)
        decided = worse | fine
        first = np.where(decided.any(axis=1), decided.argmax(axis=1), len(looks) - 1)
        requests += running * looks[first]
        at_first = np.arange(replays), first
        reverted |= running & worse[at_first]
        running &= fine[at_first] & ~worse[at_first]
    return Replays(reverted, running, requests)


def _split(rng: np.random.Generator, looks: Ints, percent: int, replays: int) -> tuple[Ints, Ints]:
    arrived = np.diff(looks, prepend=0)
    canary = rng.binomial(arrived, percent / 100, (replays, len(looks)))
    return canary.cumsum(axis=1), (arrived - canary).cumsum(axis=1)


def _tally(rng: np.random.Generator, totals: Ints, rate: float) -> Tally:
    """A tally of arrays."""
    bad = rng.binomial(np.diff(totals, prepend=0, axis=1), rate).cumsum(axis=1)
    return Tally(bad, totals)  # type: ignore[arg-type]


def rows() -> list[tuple[str, ...]]:
    """The table of docs/releases.md."""
    found: list[tuple[str, ...]] = [("regression", "reverted", "requests, median", "9 of 10 within")]
    for kind, name, base in ((0, "errors", BASE_ERRORS), (1, "slow requests", BASE_SLOW)):
        for worse in WORSE if kind == 0 else WORSE[4:]:
            rates = (worse, 0.0) if kind == 0 else (0.0, worse)
            replays = replay(np.random.default_rng(22), REPLAYS, *rates, base_errors=BASE_ERRORS)
            half, most = np.quantile(replays.requests[replays.reverted], [0.5, 0.9])
            share = f"{100 * replays.reverted.mean():.0f} %"
            found.append(
                (f"{name} {100 * base:g} % to {100 * (base + worse):g} %", share, f"{half:,.0f}", f"{most:,.0f}")
            )
    return found


if __name__ == "__main__":
    print(table(rows()))
