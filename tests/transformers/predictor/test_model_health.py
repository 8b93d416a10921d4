"""The health of a model, event by event; no sockets, no sleeps, no real clock."""

import dataclasses
import math
from itertools import pairwise

import pytest
from health_events import ERROR, LATE, LOST, RIGHT, WRONG, Clock

from kserve_transformers.predictor.limits import DEFAULT_LIMITS as LIMITS
from kserve_transformers.predictor.model_health import Finding, ModelHealth, Observation, Trial


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    """A model that serves release r1 and has just passed its first probe."""
    health = ModelHealth(LIMITS, clock)
    health.start_probe()
    health.learned("r1")
    health.probe_ended(RIGHT)
    return health


def probe(health, seen):
    timeout_s = health.start_probe()
    health.learned("r1")
    health.probe_ended(seen)
    return timeout_s


def proven(release):
    return Trial(release, LIMITS.warm_up_inferences, right=LIMITS.warm_up_inferences)


def test_a_model_is_refused_until_its_first_probe_ends_well(clock):
    health = ModelHealth(LIMITS, clock)
    assert (health.unready_reason, health.probe_due_in_s()) == ("has not been probed yet", 0.0)
    health.start_probe()
    assert health.learned("r1") == "r1"
    assert health.refusal == "has not been probed yet"
    health.probe_ended(RIGHT)
    assert (health.unready_reason, health.refusal, health.serving) == (None, None, "r1")


@pytest.mark.parametrize("seen", [WRONG, ERROR, LOST], ids=lambda seen: seen.finding.name)
def test_a_probe_that_is_not_merely_late_takes_the_model_out_at_once(health, clock, seen):
    probe(health, seen)
    assert health.unready_reason == health.refusal == seen.reason
    assert health.probe_due_in_s() == LIMITS.probe_retry_s
    health.request_ended(RIGHT)  # a request that was under way
    assert health.unready_reason == seen.reason
    probe(health, RIGHT)
    assert health.unready_reason is None


def late(health, clock, pressure=0.0, times=100):
    """Probes that all are late, until the model is taken out; returns the seconds and the timeouts."""
    began, timeouts = clock.now, []
    while len(timeouts) < times and health.unready_reason is None:
        assert health.probe_due_in_s() == 0.0 or not timeouts
        timeouts.append(health.start_probe())
        clock.now += timeouts[-1]
        health.probe_ended(dataclasses.replace(LATE, pressure=pressure))
    return clock.now - began, timeouts


def test_late_probes_are_repeated_at_once_with_more_time_until_patience_is_over(health, clock):
    took, timeouts = late(health, clock, times=1)
    assert (health.unready_reason, health.condition) == (None, "slow")
    more, longer = late(health, clock)
    assert (health.unready_reason, health.condition) == (LATE.reason, "stalled")
    assert took + more == pytest.approx(LIMITS.patience_s)
    assert longer[-1] > timeouts[0]
    assert health.probe_due_in_s() == LIMITS.probe_retry_s


@pytest.mark.parametrize(
    ("slowest_s", "pressure", "patience_s"),
    [
        pytest.param(0.01, 0.0, 4.0, id="a fast model on an idle machine"),
        pytest.param(1.0, 0.0, 10.0, id="a slow model on an idle machine"),
        pytest.param(0.01, 0.5, 18.0, id="half of the time others are in the way"),
        pytest.param(0.01, 1.0, 60.0, id="others are always in the way"),
        pytest.param(30.0, 1.0, 60.0, id="the bound"),
    ],
)
def test_patience_follows_what_the_model_took_and_the_pressure(health, clock, slowest_s, pressure, patience_s):
    probe(health, Observation(Finding.RIGHT, took_s=slowest_s))
    took, timeouts = late(health, clock, pressure)
    assert patience_s <= took < 2 * patience_s
    assert took <= LIMITS.patience_max_s + max(LIMITS.probe_timeout_s, 0.4 * LIMITS.patience(slowest_s, 0.0))
    assert len(timeouts) <= 8


def test_a_model_that_is_not_ready_gets_more_time_with_each_probe(clock):
    """On a machine so slow that its first answers take half a minute, it becomes ready nevertheless."""
    health, timeouts = ModelHealth(LIMITS, clock), []
    for _ in range(8):
        timeouts.append(health.start_probe())
        clock.now += timeouts[-1]
        health.probe_ended(LATE)
        assert health.condition == "starting"
    assert timeouts == sorted(timeouts)
    assert timeouts[-1] == LIMITS.patience_max_s
    health.start_probe()
    health.probe_ended(Observation(Finding.RIGHT, took_s=30.0))
    assert health.unready_reason is None


def test_one_slow_answer_does_not_make_patient_for_ever(health, clock):
    probe(health, Observation(Finding.RIGHT, took_s=5.0))
    for _ in range(10):
        probe(health, RIGHT)
    assert late(health, clock)[0] == pytest.approx(LIMITS.patience_s)


def test_late_probes_count_only_in_a_row(health, clock):
    for _ in range(5):
        late(health, clock, times=1)
        probe(health, RIGHT)
        assert (health.unready_reason, health.condition) == (None, "well")


def test_late_probes_are_excused_while_callers_get_answers(health, clock):
    for _ in range(20):
        health.start_probe()
        clock.now += 1
        health.request_ended(RIGHT)
        clock.now += 1
        health.probe_ended(LATE)
        assert (health.unready_reason, health.condition) == (None, "well")
    assert health.probe_due_in_s() > 0


def test_another_failure_after_a_late_probe_does_not_probe_without_a_pause(health, clock):
    late(health, clock, times=1)
    for _ in range(3):
        probe(health, LOST)
        assert health.probe_due_in_s() == LIMITS.probe_retry_s


def test_a_killed_process_takes_the_model_out_until_a_probe_finds_it_well(health):
    health.request_ended(LOST)
    assert health.refusal == "lost a process and is being checked"
    assert (health.probe_due_in_s(), health.serving) == (0.0, "r1")
    probe(health, RIGHT)
    assert health.unready_reason is None


def test_a_process_that_is_lost_during_a_probe_makes_that_probe_worthless(health):
    health.start_probe()
    health.request_ended(LOST)
    health.probe_ended(RIGHT)
    assert health.refusal is not None
    assert health.probe_due_in_s() == 0.0
    probe(health, RIGHT)
    assert health.refusal is None


def test_what_serves_is_learned_again_when_a_probe_fails_twice(health):
    probe(health, LOST)
    assert health.serving == "r1"
    probe(health, LOST)
    assert health.serving is None
    health.start_probe()
    health.learned("r1, version 2")
    health.probe_ended(RIGHT)
    assert (health.serving, health.refusal) == ("r1, version 2", None)


FAILURES = [ERROR, LATE]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda seen: seen.finding.name)
def test_failed_requests_are_tried_against_the_golden_sample_and_refuse_nobody(health, clock, failure):
    clock.now += LIMITS.probe_retry_s
    assert health.probe_due_in_s() > 0
    for _ in range(100):
        health.request_began()
        health.request_ended(failure)
        assert (health.refusal, health.breaker_open) == (None, False)
    assert health.probe_due_in_s() == 0.0
    probe(health, RIGHT)
    assert (health.refusal, health.condition) == (None, "well")


@pytest.mark.parametrize("seen", [WRONG, ERROR, LOST], ids=lambda seen: seen.finding.name)
def test_the_breaker_follows_the_golden_answer_alone(health, clock, seen):
    health.request_ended(ERROR)
    probe(health, seen)
    assert (health.breaker_open, health.refusal, health.unready_reason) == (True, seen.reason, seen.reason)
    health.request_ended(RIGHT)  # one that was under way
    assert health.breaker_open
    clock.now += LIMITS.probe_retry_s
    health.start_probe()
    assert (health.breaker_open, health.probe_due_in_s()) == (True, math.inf)
    with pytest.raises(RuntimeError, match="under way"):
        health.start_probe()
    health.probe_ended(RIGHT)
    assert (health.breaker_open, health.refusal) == (False, None)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda seen: seen.finding.name)
def test_who_sends_failing_requests_for_ever_causes_few_probes(clock, failure):
    """Pauses grow to that of the regular golden checks."""
    health = ModelHealth(LIMITS, clock, watched=True)  # or it would be probed because it is idle
    probe(health, RIGHT)
    began, probes = clock.now, []
    while clock.now - began < 600:
        clock.now += 0.1
        health.request_began()
        health.request_ended(failure)
        if health.probe_due_in_s() == 0:
            probes.append(clock.now)
            probe(health, RIGHT)
        assert health.refusal is None
    assert probes[0] - began <= 2 * LIMITS.probe_retry_s
    assert len(probes) < 600 / LIMITS.golden_check_s + 10
    assert max(later - at for at, later in pairwise(probes)) <= LIMITS.golden_check_s + 0.2


def test_short_timeouts_cause_no_probe(health, clock):
    clock.now += LIMITS.probe_retry_s
    for _ in range(10):
        health.request_ended(Observation(Finding.LATE, "late", timeout_s=LIMITS.blame_timeout_s - 0.1))
    assert health.refusal is None
    assert health.probe_due_in_s() > 0


@pytest.mark.parametrize(("took_s", "due_s"), [(0.01, LIMITS.owed_s), (1.0, 10.0)], ids=["fast", "slow"])
def test_a_model_that_owes_answers_is_probed_soon(health, clock, took_s, due_s):
    probe(health, Observation(Finding.RIGHT, took_s=took_s))
    clock.now += 1
    health.request_began()
    assert health.probe_due_in_s() == pytest.approx(due_s)
    clock.now += 1
    health.request_began()
    health.request_ended(RIGHT)
    assert health.probe_due_in_s() == pytest.approx(due_s)
    health.request_ended(None)  # the caller left
    assert health.probe_due_in_s() > due_s or took_s > 0.5


@pytest.mark.parametrize("watched", [False, True])
def test_a_model_that_answers_nothing_is_not_ready_but_refuses_nothing(clock, watched):
    health = ModelHealth(LIMITS, clock, watched)
    probe(health, RIGHT)
    clock.now += LIMITS.fresh_s(watched) + 0.1
    assert health.unready_reason.startswith("has not answered for")
    assert health.refusal is None
    health.request_ended(RIGHT)
    assert health.unready_reason is None


@pytest.mark.parametrize("watched", [False, True])
def test_busy_models_are_probed_only_for_their_golden_answer(clock, watched):
    health = ModelHealth(LIMITS, clock, watched)
    probe(health, RIGHT)
    probes = 0
    for _ in range(1200):
        clock.now += 0.5
        health.request_began()
        health.request_ended(RIGHT)
        if health.probe_due_in_s() == 0:
            probe(health, RIGHT)
            probes += 1
    assert probes == 600 / LIMITS.golden_check_s


@pytest.mark.parametrize(
    ("took_s", "watched", "due_s"),
    [
        pytest.param(0.001, False, LIMITS.idle_min_s, id="fast"),
        pytest.param(0.1, False, 0.1 / LIMITS.probe_share, id="its share of the time"),
        pytest.param(1.4, False, LIMITS.idle_max_s, id="slow"),
        pytest.param(0.001, True, LIMITS.watched_idle_s, id="its processes are watched"),
    ],
)
def test_idle_models_are_probed_seldom(clock, took_s, watched, due_s):
    health = ModelHealth(LIMITS, clock, watched)
    probe(health, Observation(Finding.RIGHT, took_s=took_s))
    assert health.probe_due_in_s() == pytest.approx(due_s)


def test_a_release_takes_over_after_enough_right_answers(health):
    trial = Trial("r2", LIMITS.warm_up_inferences)
    for _ in range(LIMITS.warm_up_inferences):
        assert not trial.over
        with pytest.raises(ValueError, match="golden answer"):
            health.took_over(trial)
        trial.answered(None)
    assert health.serving == "r1"
    health.took_over(trial)
    assert (health.serving, health.refusal) == ("r2", None)


def test_one_wrong_answer_refuses_a_release(health):
    trial = Trial("r2", 2)
    trial.answered("is wrong")
    assert trial.over
    trial.answered(None)
    trial.answered(None)
    assert (trial.proven, trial.reason) == (False, "is wrong")


@pytest.mark.parametrize("seen", [WRONG, ERROR, LATE, LOST, RIGHT], ids=lambda seen: seen.finding.name)
def test_a_probe_says_nothing_about_the_release_that_took_over_meanwhile(health, seen):
    health.start_probe()
    health.took_over(proven("r2"))
    assert health.learned("r1") == "r2"
    health.probe_ended(seen)
    assert (health.serving, health.unready_reason) == ("r2", None)
    assert health.probe_due_in_s() == pytest.approx(LIMITS.idle_min_s)


def test_a_release_that_takes_over_cures_what_served_before(health):
    probe(health, WRONG)
    health.took_over(proven("r2"))
    assert (health.serving, health.unready_reason, health.breaker_open) == ("r2", None, False)


def test_a_clock_that_goes_backwards_stands_still(health, clock):
    due_s = health.probe_due_in_s()
    clock.now -= 500
    assert (health.probe_due_in_s(), health.unready_reason) == (due_s, None)
    clock.now += 500 + due_s
    assert health.probe_due_in_s() == 0.0


def test_an_end_without_a_beginning_is_an_error(health):
    with pytest.raises(RuntimeError, match="no probe"):
        health.probe_ended(RIGHT)
