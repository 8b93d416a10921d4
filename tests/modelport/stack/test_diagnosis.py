"""Histories of processes, replayed: who is slow is left alone, who is stalled, dead or wrong is found within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.stack.diagnosis import (
    ENDLESS_S,
    ENDLESS_WORK_S,
    STILL_S,
    STOPPED_S,
    WRONG_S,
    Diagnosis,
    ProcessSight,
    Sight,
    Verdict,
)

HISTORIES = Path(__file__).parents[2] / "data" / "histories.json"
LOOK_S = 1.0  # how often a supervisor looks


class History:
    """A process that is looked at each second; each method appends seconds of one kind to its history."""

    def __init__(self) -> None:
        self.now, self.worked, self.waited, self.paged = 100.0, 5.0, 0.5, 10
        self.diagnosis = Diagnosis()
        self.verdicts: list[tuple[float, Verdict]] = []

    def go(
        self,
        seconds: float,
        work: float = 0.0,
        wait: float = 0.0,
        pages: int = 0,
        state: str = "S",
        owes: bool = True,
        wrong: bool = False,
        gone: bool = False,
    ) -> History:
        """Live for some seconds; `work`, `wait` and `pages` are per second."""
        began = self.now
        while self.now - began < seconds:
            self.now += LOOK_S
            self.worked += work * LOOK_S
            self.waited += wait * LOOK_S
            self.paged += int(pages * LOOK_S)
            process = ProcessSight(1, state, round(self.worked, 2), self.waited, self.paged)
            sight = Sight(self.now, () if gone else (process,), 1, owes, wrong)
            self.verdicts.append((self.now - began, self.diagnosis.judge(sight)))
        return self

    def first(self, verdict: Verdict) -> float | None:
        """Seconds from the beginning of the last part until a verdict was first given."""
        begins = max(index for index, (at, _) in enumerate(self.verdicts) if at == LOOK_S)
        return next((at for at, given in self.verdicts[begins:] if given is verdict), None)

    def seen(self) -> set[Verdict]:
        """All verdicts."""
        return {verdict for _, verdict in self.verdicts}


WELL = {"owes": False, "work": 0.3}
SLOW_HISTORIES = {
    "starved for five minutes": {"seconds": 300, "work": 0.02, "wait": 0.98, "state": "R"},
    "starved so that it does not run for minutes": {"seconds": 300, "state": "R"},
    "starved so that it hardly ever runs": {"seconds": 300, "work": 0.002, "wait": 0.99, "state": "R"},
    "throttled at 100 ms of every second": {"seconds": 500, "work": 0.1, "state": "S"},
    "a page-in storm": {"seconds": 120, "work": 0.003, "pages": 200, "state": "S"},
    "asleep in a slow disk": {"seconds": 120, "state": "D"},
    "a burst of much work": {"seconds": ENDLESS_WORK_S / 2 - 2, "work": 2.0, "state": "R"},
}


@pytest.mark.parametrize("part", SLOW_HISTORIES.values(), ids=SLOW_HISTORIES)
def test_slow_is_not_sick(part):
    history = History().go(10, **WELL).go(**part)
    assert history.seen() == {Verdict.WELL, Verdict.SLOW}
    assert history.go(10, **WELL).verdicts[-1][1] is Verdict.WELL


STALLED_HISTORIES = {
    "a dead-lock": ({"owes": True}, STILL_S),
    "a dead-lock with some housekeeping": ({"work": 0.004, "wait": 0.02}, STILL_S),
    "a debugger's stop": ({"state": "T"}, STOPPED_S),
    "a tracer's stop": ({"state": "t", "owes": False}, STOPPED_S),
    "runnable for ever": ({"state": "R"}, ENDLESS_S),
    "an endless loop": ({"work": 1.0, "state": "R"}, ENDLESS_WORK_S),
    "starved beyond all patience": ({"work": 0.02, "wait": 0.9, "state": "R"}, ENDLESS_S),
}


@pytest.mark.parametrize(("part", "bound_s"), STALLED_HISTORIES.values(), ids=STALLED_HISTORIES)
def test_stalled_is_found_within_its_bound(part, bound_s):
    at = History().go(10, **WELL).go(2 * bound_s + 3, **part).first(Verdict.STALLED)
    assert at is not None
    assert bound_s <= at <= bound_s + 2 * LOOK_S


def test_a_stop_on_an_idle_machine_is_noticed_in_less_than_five_seconds():
    at = History().go(10, **WELL).go(10, state="T", owes=False).first(Verdict.STALLED)
    assert at is not None
    assert at < 5


def test_a_moments_stop_is_nothing():
    history = History()
    for _ in range(20):
        history.go(1, state="t", **WELL).go(2, **WELL)
    assert history.seen() == {Verdict.WELL}


@pytest.mark.parametrize("part", [{"gone": True}, {"state": "Z"}, {"state": "X"}], ids=["gone", "a zombie", "dead"])
@pytest.mark.parametrize("owes", [False, True])
def test_dead_is_found_at_once(part, owes):
    assert History().go(10, **WELL).go(1, owes=owes, **part).first(Verdict.DEAD) == LOOK_S


def test_wrong_is_confirmed_once():
    at = History().go(10, **WELL).go(10, wrong=True, owes=False).first(Verdict.WRONG)
    assert at is not None
    assert WRONG_S <= at <= WRONG_S + 2 * LOOK_S
    assert History().go(1, wrong=True).go(1, **WELL).go(1, wrong=True).seen() <= {Verdict.WELL, Verdict.SLOW}


def test_one_of_two_processes_that_dies_is_found():
    diagnosis, two = Diagnosis(), (ProcessSight(1, "S"), ProcessSight(2, "S"))
    assert diagnosis.judge(Sight(1.0, two, 2)) is Verdict.WELL
    assert diagnosis.judge(Sight(2.0, two[:1], 2)) is Verdict.DEAD


def test_only_three_verdicts_are_curable():
    assert {verdict for verdict in Verdict if verdict.curable} == {Verdict.DEAD, Verdict.WRONG, Verdict.STALLED}


PART = st.fixed_dictionaries(
    {
        "seconds": st.integers(1, 30),
        "work": st.sampled_from([0.0, 0.005, 0.05, 0.5, 2.0]),
        "wait": st.sampled_from([0.0, 0.05, 0.5, 3.0]),
        "pages": st.sampled_from([0, 1, 500]),
        "state": st.sampled_from("SRD"),
        "owes": st.booleans(),
    }
)


@given(st.lists(PART, max_size=12))
def test_no_history_of_progress_is_sick(parts):
    """Whoever is always at work is never stalled, until it has worked too long for any answer."""
    history = History()
    for part in parts:
        moving = part["work"] > 0.01 or part["wait"] > 0.1 or part["pages"] or part["state"] in "DR"
        history.go(**part | ({} if moving else {"owes": False}))
    owed = sum(part["work"] * part["seconds"] for part in parts)
    if owed < ENDLESS_WORK_S:
        assert history.seen() <= {Verdict.WELL, Verdict.SLOW}


@given(st.lists(PART, max_size=8))
def test_every_history_that_ends_in_a_dead_lock_is_found(parts):
    history = History()
    for part in parts:
        history.go(**part)
    at = history.go(STILL_S + 3 * LOOK_S).first(Verdict.STALLED)
    assert at is not None
    assert at <= STILL_S + 2 * LOOK_S


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        pytest.param("starved", {Verdict.SLOW}, id="a priority of 2 of 1024 among 70 others, for five minutes"),
        pytest.param("throttled", {Verdict.SLOW}, id="throttled at 100 ms of every second, among 70 others"),
        pytest.param("stopped", {Verdict.SLOW, Verdict.STALLED}, id="stopped after 4 s"),
        pytest.param("killed", {Verdict.SLOW, Verdict.DEAD}, id="killed after 4 s"),
        pytest.param("dead_lock", {Verdict.SLOW, Verdict.STALLED}, id="a dead-lock"),
    ],
)
def test_recorded_histories(name, verdicts):
    """Processes that owed an answer, seen once a second on two busy cores: seconds, state, worked, waited, paged."""
    diagnosis = Diagnosis()
    given = []
    for at_s, *seen in json.loads(HISTORIES.read_text())[name]:
        given.append(diagnosis.judge(Sight(at_s, (ProcessSight(1, *seen),), 1, owes=True)))
    assert set(given) == verdicts
    assert given[-1] is (Verdict.SLOW if verdicts == {Verdict.SLOW} else (verdicts - {Verdict.SLOW}).pop())
