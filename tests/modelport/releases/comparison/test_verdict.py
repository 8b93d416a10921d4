"""Confidence intervals have the textbook values, and the verdict follows from whole intervals."""

import numpy as np
import pytest

from exporters import statistics
from exporters.statistics import Estimate
from modelport.releases.comparison.verdict import DIFFERENT, INTERCHANGEABLE, SAMPLES, findings, undecided, verdict


def test_wilsons_interval_has_the_published_values():
    # Newcombe 1998, table I: 81 of 263
    found = statistics.share(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_the_bootstrap_of_many_normal_values_has_the_normal_interval():
    values = np.random.default_rng(1).normal(10, 2, 400)
    found = statistics.mean(values.tolist())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_a_ratio_of_pairs_is_independent_of_common_factors():
    machine = np.random.default_rng(1).uniform(1, 10, 60)  # by how much other load slows both
    found = statistics.ratio_of_medians((1.2 * machine).tolist(), machine.tolist())
    assert (found.low, found.value, found.high) == (pytest.approx(1.2), pytest.approx(1.2), pytest.approx(1.2))


def test_few_samples_are_not_sure():
    assert not statistics.mean([1.0]).sure
    assert not statistics.mean([1.0] * 19).sure
    assert statistics.mean([1.0] * 20).sure
    assert statistics.ratio_of_sums([0.0] * 20, [0.0] * 20).value == 1.0


def estimate(low: float, high: float, sure: bool = True) -> Estimate:
    return Estimate((low + high) / 2, low, high, 30, sure)


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        pytest.param({"agreement": estimate(0.9, 1)}, INTERCHANGEABLE, id="all of it at the limit or above"),
        pytest.param({"agreement": estimate(0.89, 1)}, undecided(SAMPLES), id="across the limit"),
        pytest.param({"agreement": estimate(0.5, 0.89)}, DIFFERENT, id="all of it below"),
        pytest.param({"agreement": estimate(1, 1, sure=False)}, undecided(SAMPLES), id="too few"),
        pytest.param({"latency ratio": estimate(1, 1.25)}, INTERCHANGEABLE, id="an upper limit"),
        pytest.param({"latency ratio": estimate(1.2, 1.3)}, undecided(SAMPLES), id="across an upper limit"),
        pytest.param(
            {"agreement": estimate(0.89, 1), "memory ratio": estimate(1.3, 1.4)}, DIFFERENT, id="one is enough"
        ),
        pytest.param({"score shift": estimate(9, 9)}, INTERCHANGEABLE, id="a measure without a rule"),
    ],
)
def test_the_verdict_follows_from_intervals(measures, expected):
    assert verdict(findings(measures)) == expected
