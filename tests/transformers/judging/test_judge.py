"""The judge of a canary: replays with known truth, properties of all verdicts, and hand-made cases."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_replays import replay

from kserve_transformers.judging import evidence
from kserve_transformers.judging.judge import (
    FALSE_REVERTS,
    STEPS,
    Counts,
    Judgement,
    Outcome,
    Tally,
    check_steps,
    judge,
)

REPLAYS = 300


def counts(bad: int, total: int, stable_bad: int = 10, stable_total: int = 1000, slow: int = 0) -> Counts:
    return Counts(Tally(bad, total), Tally(stable_bad, stable_total), Tally(slow, total), Tally(0, stable_total))


@pytest.mark.parametrize("errors", [0.0, 0.01, 0.05])
def test_a_release_that_is_as_good_is_reverted_no_more_often_than_stated_and_promoted_in_the_end(errors):
    replays = replay(np.random.default_rng(1), REPLAYS, 0.0, 0.0, errors)
    assert replays.reverted.sum() <= REPLAYS * FALSE_REVERTS
    assert replays.promoted.sum() >= REPLAYS * (1 - FALSE_REVERTS)


def test_the_worse_a_release_the_fewer_requests_until_it_is_reverted():
    curve = []
    for worse in (0.01, 0.05, 0.2):
        replays = replay(np.random.default_rng(2), REPLAYS, worse, 0.0, 0.01)
        assert replays.promoted.mean() <= 0.05
        assert replays.reverted.mean() >= 0.95
        curve.append(np.median(replays.requests[replays.reverted]))
    assert curve == sorted(curve, reverse=True)
    assert curve[0] > 5 * curve[-1]


def test_looking_after_every_request_rejects_a_true_hypothesis_no_more_often_than_stated():
    rng, alpha = np.random.default_rng(3), 0.05
    total = np.arange(1, 401)
    canary, stable = (rng.binomial(1, 0.3, (REPLAYS // 3, 400)).cumsum(axis=1) for _ in range(2))
    for found in (
        evidence.log_evidence_above(canary, total, 0.3),
        evidence.log_evidence_below(canary, total, 0.3),
        evidence.log_evidence_worse(canary, total, stable, total, 0.0),
    ):
        assert (found >= -math.log(alpha)).any(axis=1).mean() <= alpha


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_evidence_is_the_ratio_of_the_averaged_likelihood_to_the_best_one(bad, good, limit):
    # Jeffreys' average by its recurrence, exactly
    average = Fraction(1)
    for index, one in enumerate([*range(bad), *range(good)]):
        average *= Fraction(2 * one + 1, 2 * (index + 1))
    rate = min(bad / (bad + good) if bad + good else 0.0, limit)
    best = rate**bad * (1 - rate) ** good
    found = float(evidence.log_evidence_above(bad, bad + good, limit))
    assert math.isinf(found) if best == 0 else found == pytest.approx(math.log(average) - math.log(best), abs=1e-9)


@given(
    st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.sampled_from([-0.2, 0.0, 0.05])
)
def test_the_best_rates_under_the_hypothesis_are_the_best_of_a_grid(bad, good, other_bad, other_good, margin):
    grid = np.array([1e-6, *np.linspace(0.001, 0.999, 999), 1 - 1e-6])  # 0 and 1 have no logarithm
    other, rate = grid[:, np.newaxis], grid[np.newaxis]
    likelihood = (
        bad * np.log(rate) + good * np.log(1 - rate) + other_bad * np.log(other) + other_good * np.log(1 - other)
    )
    best = np.where(rate <= other + margin + 1e-9, likelihood, -np.inf).max()
    averages = sum(evidence.log_evidence_above(b, b + g, 0.5) for b, g in ((bad, good), (other_bad, other_good)))
    averages += sum(
        b * math.log(r) + g * math.log(1 - r)
        for b, g in ((bad, good), (other_bad, other_good))
        for r in [min(b / (b + g), 0.5) if b + g else 0.25]
        if 0 < r < 1
    )
    found = evidence.log_evidence_worse(bad, bad + good, other_bad, other_bad + other_good, margin)
    assert float(found) == pytest.approx(float(averages) - best, abs=0.3)


@pytest.mark.parametrize(
    ("bad", "total", "low", "high"),
    [
        pytest.param(0, 0, 0.0, 1.0, id="nothing seen"),
        pytest.param(0, 100, 0.0, 0.057, id="no failure"),
        pytest.param(5, 100, 0.0071, 0.1558, id="a few"),
        pytest.param(100, 100, 0.943, 1.0, id="all"),
        pytest.param(2.5, 50, 0.0025, 0.2105, id="parts of observations"),
    ],
)
def test_a_confidence_sequence(bad, total, low, high):
    assert evidence.interval(bad, total, 0.05) == pytest.approx((low, high), abs=2e-3)


@pytest.mark.parametrize(
    ("seen", "percent", "outcome", "following"),
    [
        pytest.param(Counts(), 1, Outcome.HOLD, 1, id="nothing"),
        pytest.param(counts(0, 0), 1, Outcome.HOLD, 1, id="an idle canary"),
        pytest.param(counts(0, 0, 0, 10**9), 50, Outcome.HOLD, 50, id="an idle canary beside a busy release"),
        pytest.param(counts(0, 20), 1, Outcome.HOLD, 1, id="too little traffic"),
        pytest.param(counts(0, 100), 1, Outcome.PROMOTE, 5, id="a small step needs few requests"),
        pytest.param(counts(0, 100), 50, Outcome.HOLD, 50, id="all traffic needs more"),
        pytest.param(counts(0, 1500, 0, 1500), 50, Outcome.PROMOTE, 100, id="to all traffic"),
        pytest.param(counts(20, 100), 5, Outcome.REVERT, 0, id="more failures"),
        pytest.param(counts(10, 100, 100, 1000), 5, Outcome.HOLD, 5, id="as many failures: callers' own mistakes"),
        pytest.param(counts(0, 300, slow=150), 5, Outcome.REVERT, 0, id="slow"),
        pytest.param(replace(counts(0, 100), disagreement=Tally()), 1, Outcome.HOLD, 1, id="no shadow pair yet"),
        pytest.param(replace(counts(0, 100), disagreement=Tally(1, 100)), 1, Outcome.PROMOTE, 5, id="pairs agree"),
        pytest.param(replace(counts(0, 100), disagreement=Tally(40, 100)), 1, Outcome.REVERT, 0, id="pairs differ"),
        pytest.param(replace(counts(0, 100), golden_drift=0.5), 1, Outcome.PROMOTE, 5, id="golden answer"),
        pytest.param(replace(counts(0, 0), golden_drift=1.5), 1, Outcome.REVERT, 0, id="wrong golden answer"),
        pytest.param(
            replace(counts(0, 0), golden_drift=math.nan), 1, Outcome.REVERT, 0, id="golden answer not a number"
        ),
        pytest.param(counts(0, 100), 3, Outcome.PROMOTE, 5, id="between two steps"),
        pytest.param(counts(0, 10**6), 99, Outcome.PROMOTE, 100, id="beyond the last step but one"),
    ],
)
def test_outcomes(seen, percent, outcome, following):
    found = judge(seen, percent)
    assert (found.outcome, found.percent) == (outcome, following)
    assert found.reasons


def tallies(most: int = 3000) -> st.SearchStrategy[Tally]:
    return st.integers(0, most).flatmap(lambda total: st.builds(Tally, st.integers(0, total), st.just(total)))


SEEN = st.builds(Counts, tallies(), tallies(), tallies(), tallies(), st.none() | tallies(), st.none() | st.floats(0, 3))
OFTEN = settings(max_examples=50, deadline=None)
RANK = {Outcome.REVERT: 0, Outcome.HOLD: 1, Outcome.PROMOTE: 2}


@OFTEN
@given(SEEN, st.sampled_from(STEPS[:-1]), st.integers(1, 1000))
def test_more_failures_never_make_the_outcome_better(seen, percent, more):
    def worse(tally: Tally) -> Tally:
        return Tally(min(tally.total, tally.bad + more), tally.total)

    before = judge(seen, percent)
    for field in ("errors", "slow", "disagreement"):
        tally = getattr(seen, field)
        if tally is not None:
            after = judge(replace(seen, **{field: worse(tally)}), percent)
            assert RANK[after.outcome] <= RANK[before.outcome], field


@OFTEN
@given(SEEN, st.sampled_from(STEPS[:-1]))
def test_silence_never_promotes_and_a_step_is_one_step(seen, percent):
    silent = judge(replace(seen, errors=Tally(), slow=Tally()), percent)
    assert silent.outcome is not Outcome.PROMOTE
    found = judge(seen, percent)
    assert found.percent in {0, percent, STEPS[STEPS.index(percent) + 1]}
    assert found == judge(seen, percent)
    assert isinstance(found, Judgement)


@pytest.mark.parametrize("steps", [(), (0, 100), (1, 5), (5, 1, 100), (1, 1, 100), (100, 200), (-5, 100)])
def test_steps_that_make_no_rollout_are_refused(steps):
    with pytest.raises(ValueError, match="end with 100"):
        check_steps(steps)
