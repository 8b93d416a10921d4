"""Intervals for samples that resemble each other, and for paired shares."""

import numpy as np
import pytest

from exporters import statistics


def test_samples_each_of_a_source_of_their_own_count_as_independent():
    agreed = np.arange(400) % 20 > 0
    one, other = statistics.share(380, 400), statistics.clustered_share(agreed, np.arange(400))
    assert (other.value, other.count) == (one.value, one.count)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-3)


def test_copies_count_once():
    agreed, sources = (np.arange(40) % 10 > 0).repeat(15), np.arange(40).repeat(15)
    once = statistics.clustered_share(agreed[::15], sources[::15])
    copies = statistics.clustered_share(agreed, sources)
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high), abs=1e-3)


def test_one_source_says_nothing_of_others():
    assert not statistics.clustered_share(np.ones(50, bool), np.zeros(50, np.intp)).sure
    assert not statistics.clustered_mean(np.ones(50), np.zeros(50, np.intp)).sure
    assert not statistics.clustered_share(np.zeros(0, bool), np.zeros(0, np.intp)).sure
    assert not statistics.clustered_mean(np.zeros(0), np.zeros(0, np.intp)).sure


@pytest.mark.parametrize(("lost", "count"), [(0, 189), (8, 800), (1, 100)])
def test_as_many_samples_as_are_needed_show_a_limit(lost, count):
    needed = statistics.samples_needed(1 - lost / count, 0.98)
    assert needed is not None
    assert (statistics.share(count - lost, count).low >= 0.98) is (count >= needed)
    assert statistics.samples_needed(0.98, 0.98) is None


def test_intervals_contain_the_truth_in_95_of_100_cases():
    truth, count, hits = 0.1, 300, np.zeros(3)
    for seed in range(400):
        generator = np.random.default_rng(seed)
        sources = np.arange(count) // 10
        rates = generator.beta(2, 18, 30)[sources]
        clustered = statistics.clustered_share(generator.random(count) < rates, sources)
        values = generator.normal(0, 1, 30)[sources] + generator.normal(1, 1, count)
        mean = statistics.clustered_mean(values, sources)
        old = generator.random(count) < 0.9
        new = np.where(generator.random(count) < 0.05, generator.random(count) < 0.9, old)
        sides = [int(np.count_nonzero((new == a) & (old == b))) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
        change = statistics.paired_difference(*sides)
        hits += [clustered.low <= truth <= clustered.high, mean.low <= 1 <= mean.high, change.low <= 0 <= change.high]
    assert (hits >= 0.92 * 400).all(), hits
    assert (hits[:2] <= 0.985 * 400).all(), hits


def test_pairs_tell_more_than_two_separate_shares():
    change = statistics.paired_difference(9930, 4, 6, 60)
    apart = statistics.share(9934, 10_000)
    assert change.value == pytest.approx(-0.0002)
    assert change.high - change.low < (apart.high - apart.low) / 2


def test_intervals_of_percentiles_contain_the_truth_in_95_of_100_cases():
    truth, hits = float(np.log(100)), np.zeros(2)  # the p99 of an exponential distribution
    for seed in range(200):
        generator = np.random.default_rng(seed)
        one, other = generator.exponential(1, 500), generator.exponential(1, 400)
        alone = statistics.percentile(one, 99)
        assert alone.low <= alone.value <= alone.high
        assert alone.sure
        ratio = statistics.ratio_of_percentiles(one, other, 99) if seed % 10 == 0 else None
        hits += [alone.low <= truth <= alone.high, ratio is not None and ratio.low <= 1 <= ratio.high]
    assert (hits >= (0.92 * 200, 0.9 * 20)).all(), hits


@pytest.mark.parametrize(("count", "sure"), [(1, False), (100, False), (1000, True)])
def test_a_percentile_that_few_samples_lie_beyond_is_not_sure(count, sure):
    found = statistics.percentile(range(count), 99)
    assert (found.high, found.sure) == (pytest.approx(995, abs=3) if sure else count - 1, sure)
