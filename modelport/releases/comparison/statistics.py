"""Estimates with 95 % confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
# The bootstrap of fewer samples is too narrow: if all are equal, its interval has no width.
MIN_SAMPLES = 20
SEED = 7  # the same data give the same report
FLOATS = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval.

    Attributes:
        count: the number of samples.
        sure: whether there are enough samples for the interval to be meaningful.
    """

    value: float
    low: float
    high: float
    count: int
    sure: bool


def share(agreed: int, count: int) -> Estimate:
    """A share of independent samples, with Wilson's interval, which is valid for few samples."""
    interval = stats.binomtest(agreed, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(agreed / count, float(interval.low), float(interval.high), count, sure=True)


def mean(values: Sequence[float]) -> Estimate:
    """A mean, by the bootstrap."""
    return _bootstrap(np.mean, values)


def median(values: Sequence[float]) -> Estimate:
    """A median, by the bootstrap."""
    return _bootstrap(np.median, values)


def ratio_of_medians(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """The ratio of two medians of paired values, by the bootstrap over pairs."""
    return _bootstrap(lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis), over, under)


def ratio_of_sums(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """A share of items that come in groups, by the bootstrap over groups; 1 where there are no items."""

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
    return Estimate(value, float(interval.low), float(interval.high), count, sure=count >= MIN_SAMPLES)
