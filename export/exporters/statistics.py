"""Estimates with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
# The bootstrap of fewer samples is too narrow: if all are equal, its interval has no width.
MIN_SAMPLES = 20
_Z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
SEED = 7  # the same data give the same report
FLOATS = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval.

    `sure`: there are enough samples (`count`) for the interval to be meaningful.
    """

    value: float
    low: float
    high: float
    count: int
    sure: bool


def share(agreed: int, count: int) -> Estimate:
    """A share of independent samples, with Wilson's interval, which is valid for few samples."""
    return Estimate(agreed / count, *_wilson(agreed / count, count), count, sure=True)


def clustered_share(agreed: npt.NDArray[np.bool_], sources: npt.NDArray[np.intp]) -> Estimate:
    """A share of samples of which those of one source resemble each other, with Wilson's interval.

    Args:
        agreed: [N].
        sources: the number of each sample's source, [N]. One source alone says nothing of others.

    Source:
        Korn and Graubard, Survey Methodology 24 (1998): the interval of as many independent samples as say the same.
    """
    if not len(agreed):
        return Estimate(1.0, 0.0, 1.0, 0, sure=False)
    value = float(np.mean(agreed))
    bounds = _wilson(value, len(agreed) / design_effect(agreed, sources))
    return Estimate(value, *bounds, len(agreed), sure=len(np.unique(sources)) > 1)


def clustered_mean(values: FLOATS, sources: npt.NDArray[np.intp]) -> Estimate:
    """A mean of samples of which those of one source resemble each other, with Student's interval over sources."""
    if not len(values):
        return Estimate(0.0, -np.inf, np.inf, 0, sure=False)
    value, error, freedom = _over_sources(values, sources)
    margin = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * error if freedom else np.inf
    return Estimate(value, value - margin, value + margin, len(values), sure=freedom > 0)


def design_effect(agreed: npt.NDArray[np.bool_], sources: npt.NDArray[np.intp]) -> float:
    """How many of these samples say as much as one independent sample; 1 or more."""
    value, error, freedom = _over_sources(np.asarray(agreed, np.float64), sources)
    few = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) / _Z if freedom else 1.0
    return max(1.0, len(agreed) * error**2 / (value * (1 - value)) if 0 < value < 1 else 1.0) * few**2


def samples_needed(value: float, limit: float) -> int | None:
    """How many independent samples show that a share of this value is at least the limit; None: no number does."""
    return math.ceil(_Z**2 * limit * (1 - limit) / (value - limit) ** 2) if value > limit else None


def paired_difference(both: int, new_only: int, old_only: int, neither: int) -> Estimate:
    """The difference of two shares of the same samples, new minus old.

    Args:
        both: how many samples count for both sides.
        new_only: those that count for the new side alone.
        old_only: those that count for the old side alone.
        neither: those that count for none.

    Source:
        Newcombe, Statistics in Medicine 17 (1998), 2635-2650: method 10.
    """
    count = both + new_only + old_only + neither
    new, old = (both + new_only) / count, (both + old_only) / count
    (new_low, new_high), (old_low, old_high) = _wilson(new, count), _wilson(old, count)
    products = (both + new_only) * (old_only + neither), (both + old_only) * (new_only + neither)
    covariance = float(both * neither - new_only * old_only)
    if covariance > 0:
        covariance = max(covariance - count / 2, 0)
    phi = covariance / math.sqrt(math.prod(products)) if all(products) else 0.0

    def margin(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a**2 - 2 * phi * a * b + b**2))

    low = new - old - margin(new - new_low, old_high - old)
    return Estimate(new - old, low, new - old + margin(new_high - new, old - old_low), count, sure=True)


def mean(values: Sequence[float]) -> Estimate:
    """A mean, by the bootstrap."""
    return _bootstrap(np.mean, values)


def median(values: Sequence[float]) -> Estimate:
    """A median, by the bootstrap."""
    return _bootstrap(np.median, values)


def ratio_of_medians(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """The ratio of two medians of paired values, by the bootstrap over pairs."""
    return _bootstrap(lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis), over, under)


def percentile(values: Sequence[float], percent: float) -> Estimate:
    """A percentile, with the interval between two order statistics that no distribution is assumed for.

    Source:
        Conover, Practical Nonparametric Statistics, 3rd edition (1999), section 3.2. With too few samples beyond the
        percentile, the interval ends at the largest one and is not sure.
    """
    ordered, count = np.sort(np.asarray(values, np.float64)), len(values)
    low, high = map(int, stats.binom.ppf((0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2), count, percent / 100))
    value = float(np.percentile(ordered, percent, method="inverted_cdf"))
    bounds = float(ordered[max(low - 1, 0)]), float(ordered[min(high, count - 1)])
    return Estimate(value, *bounds, count, sure=low > 0 and high < count)


def ratio_of_percentiles(over: Sequence[float], under: Sequence[float], percent: float) -> Estimate:
    """The ratio of a percentile of two independent samples, by the bootstrap."""

    def ratio(a: FLOATS, b: FLOATS, axis: int) -> Any:
        return np.percentile(a, percent, axis=axis) / np.percentile(b, percent, axis=axis)

    return _bootstrap(ratio, over, under, paired=False)


def ratio_of_sums(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """A share of items that come in groups, by the bootstrap over groups; 1 where there are no items."""

    def ratio(a: FLOATS, b: FLOATS, axis: int) -> FLOATS:
        sums, totals = np.sum(a, axis=axis), np.sum(b, axis=axis)
        shares: FLOATS = np.divide(sums, totals, out=np.ones_like(sums), where=totals > 0)
        return shares

    return _bootstrap(ratio, over, under)


def _wilson(value: float, count: float) -> tuple[float, float]:
    """Wilson's interval of a share; the count need not be whole."""
    middle, shrink = (value + _Z**2 / (2 * count)), 1 + _Z**2 / count
    margin = _Z * math.sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    low = (middle - margin) / shrink if value > 0 else 0.0
    return low, (middle + margin) / shrink if value < 1 else 1.0


def _over_sources(values: FLOATS, sources: npt.NDArray[np.intp]) -> tuple[float, float, int]:
    """A mean, its standard error over sources, and the degrees of freedom."""
    value = float(np.mean(values))
    _, members = np.unique(sources, return_inverse=True)
    residuals = np.bincount(members, np.asarray(values, np.float64) - value)
    groups = len(residuals)
    error = math.sqrt(groups / (groups - 1) * float(residuals @ residuals)) / len(values) if groups > 1 else 0.0
    return value, error, groups - 1


def _bootstrap(statistic: Callable[..., Any], *columns: Sequence[float], paired: bool = True) -> Estimate:
    arrays = [np.asarray(column, np.float64) for column in columns]
    count = min(map(len, arrays))
    value = float(statistic(*arrays, axis=-1))
    if count < 2:
        return Estimate(value, -np.inf, np.inf, count, sure=False)
    interval = stats.bootstrap(
        arrays,
        statistic,
        paired=paired and len(arrays) > 1,
        vectorized=True,
        n_resamples=2000,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=SEED,
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), count, sure=count >= MIN_SAMPLES)
