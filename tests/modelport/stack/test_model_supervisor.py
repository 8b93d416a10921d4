"""When a model is replaced: dead or stopped at once, stalled or wrong soon, slow never; one at a time, with pauses."""

import threading
from itertools import pairwise
from types import SimpleNamespace

import pytest
from waiting import wait_for

from modelport.stack import model_supervisor as module
from modelport.stack.diagnosis import ProcessSight, Sight
from modelport.stack.model_supervisor import FIRST_PAUSE_S, MAX_PAUSE_S, ModelSupervisor


class Triton:
    """The part of Triton that the supervisor uses; `processes` are seen of each model."""

    def __init__(self, clock, models):
        self.models, self.clock = tuple(models), clock
        self.states, self.worked, self.replaced = dict.fromkeys(models, "S"), 0.0, []
        self.loading = threading.Event()
        self.loading.set()

    def model_sight(self, model, owes, wrong):
        return Sight(self.clock.now, (ProcessSight(1, self.states[model], self.worked),), 1, owes, wrong)

    def answers(self):
        return True

    def replace_model(self, model, kill=True):
        self.replaced.append((self.clock.now, model, kill))
        self.loading.wait(300)


class Setting:
    """Two models under a supervisor; a test changes their states and lets time pass."""

    def __init__(self, clock):
        self.clock = clock
        self.triton = Triton(clock, ["m", "n"])
        self.reports = {name: {"ready": True, "condition": "well"} for name in self.triton.models}
        self.told = []
        transformer = SimpleNamespace(services=lambda: {"s": {"models": self.reports}})
        self.supervisor = ModelSupervisor(self.triton, [transformer], self.told.append)

    def look(self, seconds, work=0.0, wait=True):
        """Look each half second; returns after how long something was first replaced."""
        began, before = self.clock.now, len(self.triton.replaced)
        while self.clock.now - began < seconds:
            self.supervisor.check()
            if wait:
                self.supervisor.wait()
            self.clock.now += 0.5
            self.triton.worked += 0.5 * work
        later = self.triton.replaced[before:]
        return later[0][0] - began if later else None


@pytest.fixture
def setting(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    made = Setting(clock)
    made.look(1)
    return made


def test_a_slow_model_is_never_replaced(setting):
    for condition in ("slow", "stalled", "dead"):  # Triton calls a starved process unhealthy
        setting.reports["m"] = {"ready": condition == "slow", "condition": condition}
        assert setting.look(300, work=0.1) is None
        setting.reports["m"] = {"ready": True, "condition": "well"}
        setting.look(1)


@pytest.mark.parametrize("condition", ["stalled", "dead"])
def test_a_model_that_makes_no_progress_is_replaced(setting, condition):
    setting.reports["m"] = {"ready": False, "condition": condition, "reason": "no answer"}
    assert setting.look(5) <= 4
    assert [(model, kill) for _, model, kill in setting.triton.replaced] == [("m", True)]
    assert setting.told == ["m"]


@pytest.mark.parametrize(("state", "within_s"), [("Z", 0.0), ("T", 2.0)], ids=["dead", "stopped"])
def test_what_is_seen_of_a_process_needs_no_golden_check(setting, state, within_s):
    setting.triton.states["m"] = state
    assert setting.look(4) <= within_s


def test_a_wrong_model_is_unloaded_in_order(setting):
    setting.reports["m"] = {"ready": False, "condition": "wrong"}
    assert setting.look(4) <= 3
    assert setting.triton.replaced[0][1:] == ("m", False)


def test_pauses_between_replacements_grow(setting):
    setting.triton.states["m"] = "Z"
    setting.look(400)
    times = [at for at, _, _ in setting.triton.replaced]
    pauses = [later - at for at, later in pairwise(times)]
    assert pauses[:4] == pytest.approx([FIRST_PAUSE_S, 10, 20, 40], abs=1.5)
    assert max(pauses) == pytest.approx(MAX_PAUSE_S, abs=1.5)
    setting.triton.states["m"] = "S"
    setting.look(2 * MAX_PAUSE_S + 2)
    setting.triton.states["m"] = "Z"
    setting.look(FIRST_PAUSE_S + 2)
    assert setting.triton.replaced[-1][0] - setting.triton.replaced[-2][0] == pytest.approx(FIRST_PAUSE_S, abs=1.5)


def test_looks_go_on_while_a_model_is_replaced_and_the_next_one_waits(setting):
    setting.triton.loading.clear()
    setting.triton.states.update(m="Z", n="Z")
    setting.look(30, wait=False)
    wait_for(lambda: setting.triton.replaced)  # by a thread of its own, which may come to it later
    assert [model for _, model, _ in setting.triton.replaced] == ["m"]
    setting.triton.loading.set()
    setting.supervisor.wait()
    setting.triton.states["m"] = "S"
    setting.look(2)
    assert [model for _, model, _ in setting.triton.replaced] == ["m", "n"]


@pytest.mark.parametrize("condition", ["starting", "wrong", "dead", "stalled"])
def test_a_model_that_was_never_ready_is_left_alone(monkeypatch, condition):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    setting = Setting(clock)
    setting.reports["m"] = {"ready": False, "condition": condition}
    assert setting.look(100) is None
