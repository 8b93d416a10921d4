"""The processes of models that are loaded and unloaded while another thread looks at them."""

from threading import Thread

import pytest

from modelport.stack.diagnosis import Diagnosis, Verdict
from modelport.stack.stubs import Stubs


def test_a_model_that_was_just_unloaded_is_not_dead():
    stubs = Stubs("prefix")
    assert Diagnosis().judge(stubs.sight(("mnist",), "mnist.r2", True, True)) is not Verdict.DEAD


@pytest.mark.parametrize("forget_all", [False, True])
def test_models_may_be_forgotten_during_a_look(monkeypatch, forget_all):
    stubs, others = Stubs("prefix"), []

    def scan(models: tuple[str, ...]) -> dict[str, list[int]]:
        others.append(Thread(target=stubs.forget_all if forget_all else lambda: stubs.forget("mnist")))
        others[-1].start()
        others[-1].join(0.1)
        return {model: [] for model in models}

    monkeypatch.setattr(stubs, "scan", scan)
    assert stubs.sight(("mnist",), "mnist", False, False).expected == 0
    for other in others:
        other.join()
