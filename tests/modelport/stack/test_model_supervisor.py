"""When a model is replaced: gone or stopped at once, idle and not ready soon, at work and late only after a while."""

from types import SimpleNamespace

import pytest

from modelport.stack import model_supervisor as module
from modelport.stack.model_supervisor import LATE_S, ModelSupervisor


class Triton:
    """The part of Triton that the supervisor uses."""

    def __init__(self):
        self.crippled, self.worked, self.replaced = [], 0.0, []

    def crippled_models(self):
        return self.crippled

    def seconds_worked(self, model):
        return self.worked

    def is_alive(self):
        return True

    def is_stalled(self):
        return False

    def replace_model(self, model):
        self.replaced.append(model)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def state():
    return {"ready": True}


@pytest.fixture
def triton():
    return Triton()


@pytest.fixture
def look(triton, state, clock):
    model_supervisor = ModelSupervisor(triton, [SimpleNamespace(services=lambda: {"s": {"models": {"m": state}}})])

    def looks(seconds, working=False):
        """Look each half second; returns after how long the model was replaced."""
        began = clock.now
        while clock.now - began < seconds and not triton.replaced:
            model_supervisor.check()
            clock.now += 0.5
            triton.worked += 0.2 * working
        return clock.now - began if triton.replaced else None

    looks(1)
    return looks


def test_a_model_that_does_nothing_is_replaced_at_the_second_look(look, state):
    state["ready"] = False
    assert look(5) == 1.0


def test_a_model_that_works_is_given_time(look, state, triton):
    state["ready"] = False
    assert look(LATE_S - 1, working=True) is None
    state["ready"] = True
    look(1)
    state["ready"] = False
    assert look(LATE_S - 1, working=True) is None


def test_a_model_that_works_for_ever_is_replaced(look, state):
    state["ready"] = False
    assert look(2 * LATE_S, working=True) == pytest.approx(LATE_S, abs=1.5)


def test_a_lost_process_is_replaced_at_once(look, triton):
    triton.crippled = ["m"]
    assert look(5, working=True) == 0.5


def test_a_model_that_was_never_ready_is_left_alone(triton, clock):
    state = {"ready": False}
    model_supervisor = ModelSupervisor(triton, [SimpleNamespace(services=lambda: {"s": {"models": {"m": state}}})])
    for _ in range(100):
        model_supervisor.check()
        clock.now += 0.5
    assert triton.replaced == []
