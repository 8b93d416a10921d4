"""Distances, tests and the correction, against scipy and hand-made values."""

import math

import numpy as np
import pytest
from scipy import stats

from kserve_transformers.drift.reference import Histogram
from kserve_transformers.drift.statistics import (
    benjamini_hochberg,
    chi_square,
    chi_square_survival,
    kolmogorov_smirnov,
    kolmogorov_survival,
    population_stability,
)


@pytest.mark.parametrize("x", [0.0, 0.1, 0.19, 0.2, 0.3, 0.5, 0.83, 1.0, 1.36, 2.0, 4.0, 8.0])
def test_kolmogorovs_distribution(x):
    assert kolmogorov_survival(x) == pytest.approx(stats.kstwobign.sf(x), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10, 21, 60])
@pytest.mark.parametrize("x", [1e-3, 0.5, 1.0, 3.8, 10.0, 50.0, 300.0])
def test_chi_square_distribution(x, degrees):
    assert chi_square_survival(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("reference", "window"),
    [([50, 30, 20], [40, 35, 25]), ([500, 300, 200, 0], [10, 35, 25, 0]), ([1, 99], [7, 3]), ([5, 5, 0], [5, 5, 1])],
)
def test_chi_square_of_two_samples(reference, window):
    table = np.array([reference, window])
    expected = stats.chi2_contingency(table[:, table.sum(0) > 0], correction=False).pvalue
    assert chi_square(*table) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_with_a_cell_for_each_value_the_distance_is_that_of_the_samples(shift):
    random = np.random.default_rng(3)
    reference, window = random.normal(size=400), random.normal(shift, size=300)
    edges = tuple(np.unique([*reference, *window]))
    empty = Histogram(edges, np.zeros(2 * len(edges) + 1, np.int64))
    counts = [np.bincount([empty.cell(v) for v in of], minlength=len(empty.counts)) for of in (reference, window)]
    found, expected = kolmogorov_smirnov(*counts), stats.ks_2samp(reference, window)
    root = math.sqrt(400 * 300 / 700)
    assert found == pytest.approx(stats.kstwobign.sf((root + 0.12 + 0.11 / root) * expected.statistic), rel=1e-9)
    assert found == pytest.approx(expected.pvalue, rel=0.2)


def test_population_stability():
    even, same = np.array([100, 100]), np.array([10, 10])
    assert population_stability(even, same) == 0
    p, q = 100.5 / 201, 30.5 / 41
    expected = (q - p) * math.log(q / p) + ((1 - q) - (1 - p)) * math.log((1 - q) / (1 - p))
    assert population_stability(even, np.array([30, 10])) == pytest.approx(expected)
    assert population_stability(np.array([100, 100, 0]), np.array([10, 10, 0])) == 0
    assert population_stability(np.array([100, 0]), np.array([0, 100])) > 5


@pytest.mark.parametrize(
    "p_values", [[], [0.5], [0.001], [0.01, 0.02, 0.03, 0.5], [0.04, 0.04, 0.04], [0.9, 0.0001, 0.05, 0.012]]
)
def test_the_correction(p_values):
    adjusted = stats.false_discovery_control(p_values) if p_values else np.array([])
    assert benjamini_hochberg(p_values, 0.05) == (adjusted <= 0.05).tolist()
