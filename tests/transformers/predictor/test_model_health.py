"""The health of a model, event by event and by random sequences of events; no sockets, no sleeps, no real clock."""

import math
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kserve_transformers.predictor.limits import DEFAULT_LIMITS as LIMITS
from kserve_transformers.predictor.model_health import Finding, ModelHealth, Observation, Trial

RIGHT = Observation(Finding.RIGHT, took_s=0.01)
WRONG = Observation(Finding.WRONG, "output scores is off by 1")
LOST = Observation(Finding.LOST, "the process is dead")
ERROR = Observation(Finding.ERROR, "the model answered an error", timeout_s=30.0)
LATE = Observation(Finding.LATE, "no answer in time", timeout_s=30.0)


class Clock:
    """A clock that only moves when it is told to; `latest` is the latest time that was read from it."""

    def __init__(self):
        self.now = 1000.0
        self.latest = -math.inf

    def __call__(self):
        self.latest = max(self.latest, self.now)
        return self.now


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


def test_a_first_late_probe_is_repeated_at_once_with_more_time(health):
    assert probe(health, LATE) == LIMITS.probe_timeouts_s[0]
    assert (health.unready_reason, health.probe_due_in_s()) == (None, 0.0)
    assert probe(health, LATE) == LIMITS.probe_timeouts_s[1]
    assert (health.unready_reason, health.probe_due_in_s()) == (LATE.reason, LIMITS.probe_retry_s)


def test_late_probes_count_only_in_a_row(health):
    for _ in range(3):
        probe(health, LATE)
        assert probe(health, RIGHT) == LIMITS.probe_timeouts_s[1]
        assert health.unready_reason is None


def test_late_probes_are_excused_while_callers_get_answers(health, clock):
    for _ in range(4):
        health.start_probe()
        clock.now += 1
        health.request_ended(RIGHT)
        health.probe_ended(LATE)
        assert health.unready_reason is None
    assert health.probe_due_in_s() > 0


def test_another_failure_after_a_late_probe_does_not_probe_without_a_pause(health):
    probe(health, LATE)
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


def test_the_breaker_opens_after_failures_in_a_row_only(health):
    for _ in range(5):
        for _ in range(LIMITS.failures_to_open - 1):
            health.request_ended(ERROR)
        health.request_ended(RIGHT)
    assert not health.breaker_open
    for _ in range(LIMITS.failures_to_open):
        assert health.refusal is None
        health.request_ended(LATE)
    assert health.breaker_open
    assert health.unready_reason == "failed repeatedly and is being checked"


def test_a_half_open_breaker_is_closed_by_a_right_golden_answer_alone(health, clock):
    for _ in range(LIMITS.failures_to_open):
        health.request_ended(ERROR)
    health.request_ended(RIGHT)  # one that was under way
    assert health.breaker_open
    clock.now += LIMITS.probe_retry_s
    assert health.probe_due_in_s() == 0.0
    health.start_probe()
    assert (health.breaker_open, health.probe_due_in_s()) == (True, math.inf)
    with pytest.raises(RuntimeError, match="under way"):
        health.start_probe()
    health.probe_ended(WRONG)
    assert (health.breaker_open, health.refusal) == (True, WRONG.reason)
    probe(health, RIGHT)
    assert (health.breaker_open, health.refusal) == (False, None)


def test_short_timeouts_are_not_counted_as_failures(health):
    for _ in range(10):
        health.request_ended(Observation(Finding.LATE, "late", timeout_s=LIMITS.blame_timeout_s - 0.1))
    assert health.refusal is None


def test_a_model_that_answers_nothing_is_not_ready_but_refuses_nothing(health, clock):
    clock.now += LIMITS.fresh_s + 0.1
    assert health.unready_reason == "has not answered for 10 s"
    assert health.refusal is None
    health.request_ended(RIGHT)
    assert health.unready_reason is None


def test_idle_models_are_probed_and_busy_ones_only_for_their_golden_answer(health, clock):
    assert health.probe_due_in_s() == LIMITS.idle_min_s
    probes = 0
    for _ in range(120):
        clock.now += 0.5
        health.request_ended(RIGHT)
        if health.probe_due_in_s() == 0:
            probe(health, RIGHT)
            probes += 1
    assert probes == 60 / LIMITS.golden_check_s


@pytest.mark.parametrize(
    ("took_s", "due_s"),
    [
        pytest.param(0.001, LIMITS.idle_min_s, id="fast"),
        pytest.param(0.1, 0.1 / LIMITS.probe_share, id="its share of the time"),
        pytest.param(1.4, LIMITS.idle_max_s, id="slow"),
    ],
)
def test_slow_models_are_probed_less_often(health, took_s, due_s):
    probe(health, Observation(Finding.RIGHT, took_s=took_s))
    assert health.probe_due_in_s() == pytest.approx(due_s)


def test_all_timeouts_fit_before_an_idle_model_stops_being_fresh():
    assert LIMITS.idle_max_s + sum(LIMITS.probe_timeouts_s) < LIMITS.fresh_s


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
    for _ in range(LIMITS.failures_to_open):
        health.request_ended(ERROR)
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


class AnyHistory(RuleBasedStateMachine):
    """Events in any order that a driver could produce; `proven` is what a naive reader of the history would trust."""

    @initialize(learned=st.booleans())
    def start(self, learned):
        self.clock = Clock()
        self.health = ModelHealth(LIMITS, self.clock)
        self.proven = False  # whether what serves gave its golden answer and did not lose that trust since
        self.doubt = False  # whether a process was lost during the probe under way
        self.void = False  # whether another release took over during it
        self.probing = False
        self.good_at = -math.inf
        self.releases = 0
        if learned:
            self.probe_starts()
            self.probe_ends(RIGHT, 0.1)

    @rule(seconds=st.floats(-100, 100))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @precondition(lambda self: not self.probing and self.health.probe_due_in_s() == 0)
    @rule()
    def probe_starts(self):
        assert self.health.start_probe() in LIMITS.probe_timeouts_s
        self.probing, self.doubt, self.void = True, False, False

    @precondition(lambda self: self.probing)
    @rule(seen=st.sampled_from([RIGHT, RIGHT, RIGHT, WRONG, ERROR, LATE, LOST]), took_s=st.floats(0, 20))
    def probe_ends(self, seen, took_s):
        self.releases += 1
        self.health.learned(self.releases)
        before = self.health.serving, self.health.refusal
        self.clock.now += took_s
        self.health.probe_ended(Observation(seen.finding, seen.reason, took_s=took_s))
        self.probing = False
        if self.void:
            assert (self.health.serving, self.health.refusal) == before
        elif seen is RIGHT and not self.doubt:
            self.trust()
            assert self.health.unready_reason is None
        elif seen in (WRONG, ERROR, LOST):
            self.proven = False

    @precondition(lambda self: self.health.serving is not None)
    @rule(seen=st.sampled_from([LOST, ERROR, LATE, RIGHT]))
    def request_ends(self, seen):
        self.health.request_ended(seen)
        if seen is RIGHT:
            self.good_at = self.clock.latest
        if seen is LOST:
            self.proven, self.doubt = False, True

    @rule(answers=st.lists(st.sampled_from([None, None, None, "is wrong"]), min_size=2, max_size=4))
    def a_release_wants_to_take_over(self, answers):
        self.releases += 1
        trial = Trial(self.releases, LIMITS.warm_up_inferences)
        for reason in answers:
            trial.answered(reason)
        before = self.health.serving, self.health.refusal
        if any(answers) or len(answers) < LIMITS.warm_up_inferences:
            with suppress(ValueError):
                self.health.took_over(trial)
            assert (self.health.serving, self.health.refusal) == before
        else:
            self.health.took_over(trial)
            assert self.health.serving == trial.release
            self.trust()
            self.void = True

    def trust(self):
        self.proven, self.good_at = True, self.clock.latest

    @invariant()
    def only_what_is_proven_answers(self):
        if self.health.refusal is None:
            assert self.proven
            assert self.health.serving is not None

    @invariant()
    def ready_means_that_nothing_is_refused_and_the_last_answer_is_fresh(self):
        if self.health.unready_reason is None:
            assert self.health.refusal is None
            assert self.clock.latest - self.good_at <= LIMITS.fresh_s

    @invariant()
    def what_is_refused_has_a_reason(self):
        assert self.health.refusal != ""
        assert self.health.unready_reason != ""
        assert not self.health.breaker_open or self.health.refusal

    @invariant()
    def one_probe_at_a_time_and_always_a_next_one(self):
        due_s = self.health.probe_due_in_s()
        if self.probing:
            assert due_s == math.inf
        else:
            longest_s = LIMITS.probe_retry_s if self.health.refusal else LIMITS.idle_max_s
            assert 0 <= due_s <= longest_s + 1e-9  # rounding


AnyHistory.TestCase.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyHistory = AnyHistory.TestCase
