"""Numbers with the range in which they would lie, 95 times of 100, had other samples of the same kind been taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
# Resampling fewer than these says nothing: were they all alike, the interval would have no width.
ENOUGH = 20
SEED = 7  # the same data give the same report
FLOATS = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval.

    Attributes:
        count: of the samples behind it.
        sure: whether there are so many that the interval means something.
    """

    value: float
    low: float
    high: float
    count: int
    sure: bool


def share(agreed: int, count: int) -> Estimate:
    """A share of independent samples, with Wilson's interval, which holds for few samples, too."""
    interval = stats.binomtest(agreed, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(agreed / count, float(interval.low), float(interval.high), count, sure=True)


def mean(values: Sequence[float]) -> Estimate:
    """A mean, by the bootstrap."""
    return _bootstrap(np.mean, values)


def median(values: Sequence[float]) -> Estimate:
    """A median, by the bootstrap."""
    return _bootstrap(np.median, values)


def ratio_of_medians(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """A ratio of two medians of values that were measured in pairs, by the bootstrap over pairs."""
    return _bootstrap(lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis), over, under)


def ratio_of_sums(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """A share of things that come in groups, by the bootstrap over groups; 1 where there is no thing at all."""

    def ratio(a: FLOATS, b: FLOATS, axis: int) -> FLOATS:
        sums, totals = np.sum(a, axis=axis), np.sum(b, axis=axis)
        shares: FLOATS = np.divide(sums, totals, out=np.ones_like(sums), where=totals > 0)
        return shares

    return _bootstrap(ratio, over, under)


def _bootstrap(statistic: Callable[..., Any], *columns: Sequence[float]) -> Estimate:
    arrays = [np.asarray(column, np.float64) for column in columns]
    count = len(arrays[0])
    value = float(statistic(*arrays, axis=-1))
    if count < 2:
        return Estimate(value, -np.inf, np.inf, count, sure=False)
    interval = stats.bootstrap(
        arrays,
        statistic,
        paired=len(arrays) > 1,
        vectorized=True,
        n_resamples=2000,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=SEED,
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), count, sure=count >= ENOUGH)
