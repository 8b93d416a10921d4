"""What grows is told from what is noisy, warms up, or is bounded elsewhere."""

import random

import pytest

from modelport.measure.soak.slopes import slope

TIMES = [5.0 * number for number in range(720)]  # an hour


def noisy(level: float, per_hour: float, noise: float) -> list[float]:
    dice = random.Random(1)
    return [level + per_hour * at / 3600 + dice.uniform(-noise, noise) for at in TIMES]


@pytest.mark.parametrize(
    ("name", "values", "flat"),
    [
        pytest.param("transformer: MB", noisy(100, 0, 20), True, id="noise"),
        pytest.param("transformer: MB", noisy(100, 120, 20), False, id="a leak of 120 MB an hour in noise"),
        pytest.param("transformer: MB", noisy(100, 5, 1), True, id="less than a thread's largest image"),
        pytest.param("transformer: files", noisy(30, 12, 2), False, id="a file every five minutes"),
        pytest.param("transformer: threads", [20.0] * 720, True, id="constant"),
        pytest.param("transformer: threads", [4.0] * 100 + [20.0] * 620, True, id="warming up"),
        pytest.param("Triton: threads", noisy(300, 400, 2), True, id="bounded by new starts"),
    ],
)
def test_growth(name, values, flat):
    assert slope(name, TIMES, values).flat is flat


def test_the_interval_holds_the_slope():
    found = slope("transformer: MB", TIMES, noisy(100, 40, 10))
    assert found.low < 40 < found.high
    assert found.hours == pytest.approx(0.8, abs=0.01)
