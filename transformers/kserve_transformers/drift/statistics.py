"""Distances and tests between two histograms with the same cells, and the correction for many tests at once."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def population_stability(reference: Counts, window: Counts) -> float:
    """The population stability index, 0 and up; 0.1 is commonly called a small shift, 0.25 a large one.

    Args:
        reference: [K] counts.
        window: [K] counts of the same cells. Half a count is added to each cell, so that none is empty.
    """
    used = (reference + window) > 0
    p, q = (counts[used] + 0.5 for counts in (reference, window))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def kolmogorov_smirnov(reference: Counts, window: Counts) -> float:
    """The p-value of the two-sample Kolmogorov-Smirnov test, over ordered cells.

    Cells hide some of the largest distance, so the p-value is never below that of the values themselves.

    Source: Stephens 1970, the asymptotic distribution with his correction for small samples.
    """
    n, m = int(reference.sum()), int(window.sum())
    distance = float(np.abs(reference.cumsum() / n - window.cumsum() / m).max())
    root = math.sqrt(n * m / (n + m))
    return kolmogorov_survival((root + 0.12 + 0.11 / root) * distance)


def kolmogorov_survival(x: float) -> float:
    """The probability that a variable with Kolmogorov's distribution exceeds x."""
    if x < 0.2:  # 1 to sixteen digits, where the series converges slowly
        return 1.0
    return min(1.0, max(0.0, 2 * sum((1.0 if k % 2 else -1.0) * math.exp(-2 * k * k * x * x) for k in range(1, 60))))


def chi_square(reference: Counts, window: Counts) -> float:
    """The p-value of the chi-square test that both counts [K] come from the same shares."""
    used = (reference + window) > 0
    r, w = reference[used].astype(np.float64), window[used].astype(np.float64)
    ratio = math.sqrt(w.sum() / r.sum())
    return chi_square_survival(float(((ratio * r - w / ratio) ** 2 / (r + w)).sum()), len(r) - 1)


def chi_square_survival(x: float, degrees: int) -> float:
    """The probability that a chi-square variable with these degrees of freedom exceeds x.

    Source: the recurrence of the incomplete gamma function in its first argument (DLMF 8.8.2).
    """
    if degrees <= 0 or x <= 0:
        return 1.0
    half = x / 2
    survival = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    for k in range(1 if degrees % 2 else 2, degrees, 2):
        survival += math.exp(k / 2 * math.log(half) - half - math.lgamma(k / 2 + 1))
    return min(1.0, survival)


def benjamini_hochberg(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which hypotheses are rejected, so that at most `rate` of the rejected ones are expected to be true.

    Where all are true, any is rejected with at most this probability.

    Source: Benjamini and Hochberg 1995.
    """
    ordered = sorted(p_values)
    limits = [p for rank, p in enumerate(ordered, 1) if p <= rate * rank / len(ordered)]
    return [bool(limits) and p <= limits[-1] for p in p_values]
