"""Evidence about rates that stays valid however often it is looked at: e-values and confidence sequences from counts.

An e-value of 1/alpha rejects a hypothesis: whatever the number of looks, the probability that the evidence against a
true hypothesis ever reaches 1/alpha is at most alpha (Ville's inequality). All functions take numbers or arrays.

Source: H. Robbins, Statistical methods related to the law of the iterated logarithm, Annals of Mathematical Statistics
41 (1970), for the mixture; S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Time-uniform, nonparametric,
nonasymptotic confidence sequences, Annals of Statistics 49 (2021), for its use on bounded observations; R. Turner,
A. Ly, P. Grünwald, Generic e-variables for exact sequential k-sample tests that allow for optional stopping, Journal
of Statistical Planning and Inference 230 (2024), for two samples.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_PRIOR = 0.5  # of both outcomes: Jeffreys' Beta distribution
_BISECTIONS = 60
_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])


def log_evidence_above(bad: npt.ArrayLike, total: npt.ArrayLike, limit: float) -> Floats:
    """The logarithm of the e-value against "the rate is at most `limit`".

    Args:
        bad: the sum of observations within 0 to 1, usually the number of failures.
        total: the number of observations.
        limit: 0 to 1.
    """
    bad, total = np.asarray(bad, np.float64), np.asarray(total, np.float64)
    best = np.minimum(_share(bad, total), limit)
    return _mixture(bad, total) - _likelihood(bad, total, best)


def log_evidence_below(bad: npt.ArrayLike, total: npt.ArrayLike, limit: float) -> Floats:
    """The logarithm of the e-value against "the rate is at least `limit`"."""
    bad, total = np.asarray(bad, np.float64), np.asarray(total, np.float64)
    return log_evidence_above(total - bad, total, 1 - limit)


def log_evidence_worse(
    bad: npt.ArrayLike, total: npt.ArrayLike, other_bad: npt.ArrayLike, other_total: npt.ArrayLike, margin: float
) -> Floats:
    """The logarithm of the e-value against "the rate is at most the other rate plus `margin`".

    Args:
        bad: as in log_evidence_above.
        total: likewise.
        other_bad: the same of the other side. Which side gets how many requests may change at any time.
        other_total: likewise.
        margin: -1 to 1.
    """
    bad, total = np.asarray(bad, np.float64), np.asarray(total, np.float64)
    other_bad, other_total = np.asarray(other_bad, np.float64), np.asarray(other_total, np.float64)
    rate, other = _share(bad, total), _share(other_bad, other_total)
    low, high = np.full_like(rate, max(0.0, -margin)), np.full_like(rate, min(1.0, 1 - margin))
    with np.errstate(divide="ignore", invalid="ignore"):  # the likelihood of rates r and r + margin is concave in r
        for _ in range(_BISECTIONS):
            r = (low + high) / 2
            slope = other_bad / r - (other_total - other_bad) / (1 - r)
            slope += bad / (r + margin) - (total - bad) / (1 - r - margin)
            low, high = np.where(slope > 0, r, low), np.where(slope > 0, high, r)
    border = (low + high) / 2
    within = rate <= other + margin
    best, best_other = np.where(within, rate, border + margin), np.where(within, other, border)
    evidence = _mixture(bad, total) + _mixture(other_bad, other_total)
    return evidence - _likelihood(bad, total, best) - _likelihood(other_bad, other_total, best_other)


def interval(bad: float, total: float, alpha: float) -> tuple[float, float]:
    """The confidence sequence of a rate: it contains the rate at all times with a probability of 1 - alpha."""
    if not total:
        return 0.0, 1.0
    share, least = (
        bad / total,
        float(_mixture(np.asarray(bad, np.float64), np.asarray(total, np.float64))) - math.log(1 / alpha),
    )

    def end(outside: float) -> float:
        inside = share
        for _ in range(_BISECTIONS):
            rate = (outside + inside) / 2
            likelihood = sum(
                n * math.log(r) if r else -math.inf for n, r in ((bad, rate), (total - bad, 1 - rate)) if n
            )
            outside, inside = (outside, rate) if likelihood > least else (rate, inside)
        return inside

    return end(0.0), end(1.0)


def _mixture(bad: Floats, total: Floats) -> Floats:
    """The logarithm of the likelihood, averaged over all rates."""
    good = _lgamma(_PRIOR + total - bad)
    ends = _lgamma(2 * _PRIOR + total) + 2 * math.lgamma(_PRIOR) - math.lgamma(2 * _PRIOR)
    return np.asarray(_lgamma(_PRIOR + bad) + good - ends)


def _likelihood(bad: npt.ArrayLike, total: npt.ArrayLike, rate: Floats) -> Floats:
    return _times_log(np.asarray(bad, np.float64), rate) + _times_log(np.subtract(total, bad), 1 - rate)


def _times_log(count: npt.ArrayLike, rate: Floats) -> Floats:
    """A count times log(rate); 0 for a count of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(count) == 0, 0.0, count * np.log(np.maximum(rate, 0.0)))


def _share(bad: Floats, total: Floats) -> Floats:
    """0 without observations."""
    return np.divide(bad, total, out=np.zeros(np.shape(np.asarray(bad + total))), where=np.asarray(total) > 0)
