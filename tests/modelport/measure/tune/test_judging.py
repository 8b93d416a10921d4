"""A candidate is chosen only where it is better beyond the noise, whatever the machine does meanwhile."""

import math
import random

import pytest

from modelport.measure.tune.judging import Judge, Turn, lower_bound, p99_ms, ratios

LATENCY, THROUGHPUT = Judge("latency"), Judge("throughput")


def turn(alone_ms: float = 10.0, rate: float = 100.0, busy_ms: float = 80.0, memory_mb: float = 50.0) -> Turn:
    return Turn([alone_ms] * 3, [busy_ms] * 3, rate, memory_mb)


def rounds(*turns: Turn) -> dict[int, Turn]:
    return dict(enumerate(turns))


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        pytest.param([1.2] * 4, -math.inf, id="too few"),
        pytest.param([1.5, 1.1, 1.2, 1.3, 1.4], 1.1, id="of five the least"),
        pytest.param([1.5, 0.5, 1.2, 1.3, 1.4, 1.2, 1.6, 1.1], 1.1, id="of eight the second"),
        pytest.param([*range(20)], 5, id="of twenty the sixth"),  # P(Bin(20, 1/2) <= 5) = 0.021, <= 6: 0.058
        pytest.param([], -math.inf, id="none"),
    ],
)
def test_lower_bound(values, bound):
    assert lower_bound(values) == bound


def test_the_bound_holds_as_often_as_it_says():
    chance = random.Random(3)
    held = sum(lower_bound([chance.lognormvariate(0, 0.3) for _ in range(8)]) <= 1 for _ in range(4000))
    assert 0.95 <= held / 4000 < 0.98


def test_ratios_are_of_the_same_round():
    slowing = [turn(rate=rate, alone_ms=ms) for rate, ms in [(100, 10), (50, 20), (25, 40)]]
    other = {1: turn(rate=60, alone_ms=16), 2: turn(rate=30, alone_ms=32), 7: turn(rate=999)}
    assert ratios(rounds(*slowing), other, "throughput") == pytest.approx([1.2, 1.2])
    assert ratios(rounds(*slowing), other, "latency") == pytest.approx([1.25, 1.25])


@pytest.mark.parametrize(
    ("judge", "other", "chosen", "why"),
    [
        pytest.param(THROUGHPUT, [turn(rate=120)] * 8, True, "1.20 times the present", id="faster"),
        pytest.param(THROUGHPUT, [turn(rate=120)] * 4, False, "too few", id="faster, of too few turns"),
        pytest.param(THROUGHPUT, [turn(rate=102)] * 8, False, "too little to matter", id="hardly faster"),
        pytest.param(THROUGHPUT, [turn(rate=90)] * 8, False, "not more than the noise", id="slower"),
        pytest.param(
            THROUGHPUT,
            [turn(rate=rate) for rate in (180, 70, 150, 95, 140, 80, 120, 130)],
            False,
            "not more than the noise",
            id="faster by less than the noise",
        ),
        pytest.param(
            THROUGHPUT, [turn(rate=120, busy_ms=121)] * 8, False, "p99 at saturation is 1.5 times", id="late answers"
        ),
        pytest.param(
            Judge("throughput", memory_mb=60), [turn(rate=120, memory_mb=61)] * 8, False, "61 MB, above", id="too large"
        ),
        pytest.param(
            Judge("latency", memory_mb=40), [turn(memory_mb=30)] * 8, True, "does not keep the bound", id="small enough"
        ),
        pytest.param(Judge("throughput", 60.0), [turn(rate=120, busy_ms=59)] * 8, True, "does not keep", id="bound"),
        pytest.param(
            Judge("throughput", 60.0), [turn(rate=70, busy_ms=59)] * 8, True, "does not keep", id="the only one in it"
        ),
        pytest.param(Judge("throughput", 90.0), [turn(rate=120, busy_ms=91)] * 8, False, "above the bound", id="over"),
        pytest.param(LATENCY, [turn(alone_ms=6)] * 8, True, "latency 1.67 times", id="sooner"),
        pytest.param(LATENCY, [turn(alone_ms=6, rate=79)] * 8, False, "throughput falls to 79%", id="at a high cost"),
        pytest.param(LATENCY, [turn(alone_ms=6, rate=81)] * 8, True, "latency", id="at a fair cost"),
        pytest.param(LATENCY, [turn(rate=200)] * 8, False, "not more than the noise", id="faster, not sooner"),
    ],
)
def test_verdict(judge, other, chosen, why):
    found, said = judge.verdict(rounds(*[turn()] * 8), rounds(*other))
    assert found == chosen
    assert why in said


def test_the_best_is_the_fastest_without_objection():
    measured = {
        "present": rounds(turn(), turn()),
        "faster": rounds(turn(rate=130), turn(rate=130)),
        "fastest, with late answers": rounds(turn(rate=200, busy_ms=500), turn(rate=200, busy_ms=500)),
        "slower": rounds(turn(rate=90), turn(rate=90)),
    }
    assert THROUGHPUT.best("present", measured) == "faster"
    assert LATENCY.best("present", measured) == "present"
    assert Judge("throughput", 1.0).best("present", measured) == "present"  # none keeps the bound


def test_of_equals_the_present_or_the_smallest_is_best():
    measured = {
        "present": rounds(turn()),
        "large": rounds(turn(rate=131, memory_mb=200)),
        "small": rounds(turn(rate=130, memory_mb=90)),
        "smaller": rounds(turn(rate=120, memory_mb=60)),
    }
    assert THROUGHPUT.best("present", measured) == "small"
    assert Judge("throughput", memory_mb=80).best("present", measured) == "smaller"
    assert THROUGHPUT.best("present", {**measured, "present": rounds(turn(rate=129))}) == "present"


def test_p99_is_over_all_turns():
    many = rounds(Turn([1.0] * 50, [5.0] * 50, 1.0), Turn([1.0] * 50, [5.0] * 47 + [9.0] * 3, 1.0))
    assert (p99_ms(many, busy=False), p99_ms(many, busy=True)) == (1.0, 9.0)
