"""The health of a model after random sequences of events."""

import math
from contextlib import suppress

from health_events import ERROR, LATE, LOST, RIGHT, WRONG, Clock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kserve_transformers.predictor.limits import DEFAULT_LIMITS as LIMITS
from kserve_transformers.predictor.model_health import ModelHealth, Observation, Trial


class AnyHistory(RuleBasedStateMachine):
    """Events in any order that a driver could produce; `proven` is what a naive reader of the history would trust."""

    @initialize(learned=st.booleans(), watched=st.booleans())
    def start(self, learned, watched):
        self.clock, self.watched = Clock(), watched
        self.health = ModelHealth(LIMITS, self.clock, watched)
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
        assert LIMITS.probe_timeout_s <= self.health.start_probe() <= LIMITS.patience_max_s
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
    @rule(seen=st.sampled_from([LOST, ERROR, LATE, RIGHT, None]), began=st.booleans())
    def request_ends(self, seen, began):
        before = self.health.refusal, self.health.breaker_open
        if began:
            self.health.request_began()
        self.health.request_ended(seen)
        if seen is not LOST:  # whatever a caller sent and got, nobody else is refused because of it
            assert (self.health.refusal, self.health.breaker_open) == before
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
            assert self.clock.latest - self.good_at <= LIMITS.fresh_s(self.watched)

    @invariant()
    def what_is_refused_has_a_reason(self):
        assert self.health.refusal != ""
        assert self.health.unready_reason != ""
        assert not self.health.breaker_open or self.health.refusal
        assert (self.health.condition in ("well", "slow")) == (self.health.refusal is None)

    @invariant()
    def one_probe_at_a_time_and_always_a_next_one(self):
        due_s = self.health.probe_due_in_s()
        if self.probing:
            assert due_s == math.inf
        else:
            idle_s = LIMITS.watched_idle_s if self.watched else LIMITS.idle_max_s
            longest_s = LIMITS.probe_retry_s if self.health.refusal else idle_s
            assert 0 <= due_s <= longest_s + 1e-9  # rounding


AnyHistory.TestCase.settings = settings(max_examples=200, stateful_step_count=30)
TestAnyHistory = AnyHistory.TestCase
