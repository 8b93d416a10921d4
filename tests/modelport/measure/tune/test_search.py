"""The search on a simulated machine: its speed drifts, measurements are noisy, and only measuring takes time."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from modelport.measure.tune.judging import Judge, Profile, Turn
from modelport.measure.tune.knobs import Knobs, coarse, neighbours
from modelport.measure.tune.search import Found, RefusedError, Search

PRESENT = Knobs(1, 1)
CORES, BATCH = 4, 8
Speed = Callable[[Knobs], float]


class Machine:
    """Every turn takes five seconds; a true speed by knobs, times a drift over time, times noise."""

    def __init__(self, speed: Speed, noise: float = 0.0, drift: float = 0.0, seed: int = 1) -> None:
        self.now, self.turns = 0.0, 0
        self._speed, self._noise, self._drift, self._chance = speed, noise, drift, random.Random(seed)

    def measure(self, knobs: Knobs) -> Turn:
        self.now += 5.0
        self.turns += 1
        pace = 1 + self._drift * math.sin(self.now / 40)
        rate = 100 * self._speed(knobs) * pace * self._chance.lognormvariate(0, self._noise)
        return Turn([1000 / rate] * 5, [8000 / rate] * 5, rate)

    def search(self, minutes: float = 5.0, profile: Profile = "throughput") -> Found:
        told: list[str] = []
        search = Search(self.measure, Judge(profile), minutes, lambda: self.now, told.append)
        grid = coarse(PRESENT, CORES, threaded=True)
        found = search.run(grid, lambda best: neighbours(best, CORES, BATCH))
        assert len(told) == self.turns + bool(found.compared)
        return found


def by_placement(knobs: Knobs) -> float:
    """Fastest with three instances of one thread, which are not in the coarse grid."""
    return 1.0 - 0.15 * abs(knobs.instances - 3) - 0.2 * ((knobs.threads or 1) - 1) + 0.001 * len(knobs.preferred)


def test_it_goes_from_the_grid_to_the_best_neighbour():
    found = Machine(by_placement).search(minutes=20)
    assert (found.best.instances, found.best.threads, found.refused) == (3, 1, {})
    assert "times the present" in found.why
    assert found.present == PRESENT


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_noise_and_drift_do_not_hide_a_clear_winner(seed, drift):
    found = Machine(lambda knobs: 1.6 if knobs.instances > 1 else 1.0, 0.08, drift, seed).search(minutes=10)
    assert found.best.instances > 1


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_among_equals_the_present_stays_nearly_always(drift):
    stayed = sum(Machine(lambda _: 1.0, 0.15, drift, seed).search().best == PRESENT for seed in range(60))
    assert stayed >= 54  # 5 % of the final comparisons may end otherwise


@pytest.mark.parametrize("profile", ["latency", "throughput"])
def test_the_present_stays_where_it_is_the_best(profile):
    found = Machine(lambda knobs: 1.0 if knobs == PRESENT else 0.7).search(profile=profile)
    assert (found.best, found.why, found.compared) == (PRESENT, "no other was faster", {})


@pytest.mark.parametrize("minutes", [0.01, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0])
def test_time_is_bounded(minutes):
    machine = Machine(by_placement)
    found = machine.search(minutes)
    assert machine.now <= max(60 * minutes, 10)  # at least the present configuration is measured
    assert found.why
    assert len(found.compared.get(found.best, {})) in (0, 5, 6, 7, 8)
    if minutes < 1:
        assert (found.best, found.why) == (PRESENT, "no other could be measured: allow more time")


def test_a_refused_candidate_is_left_out_and_told():
    def speed(knobs: Knobs) -> float:
        if knobs.instances > 2:
            raise RefusedError("out of memory")
        return by_placement(knobs)

    found = Machine(speed).search(minutes=10)
    assert (found.best.instances, found.best.threads) == (2, 1)
    assert {one.instances for one in found.refused} >= {3, 4}
    assert set(found.refused.values()) == {"out of memory"}
    assert not set(found.refused) & set(found.searched)


def test_one_that_is_refused_in_the_final_comparison_is_not_chosen():
    calls: dict[Knobs, int] = {}

    def speed(knobs: Knobs) -> float:
        calls[knobs] = calls.get(knobs, 0) + 1
        if knobs != PRESENT and sum(calls.values()) > 30:
            raise RefusedError("died")
        return by_placement(replace(knobs, preferred=()))

    found = Machine(speed).search(minutes=5)
    assert found.best == PRESENT
    assert found.why.endswith("died")


def test_a_present_configuration_that_is_refused_ends_the_search():
    def refuse(_: Knobs) -> float:
        raise RefusedError("its golden answer is wrong")

    with pytest.raises(RefusedError, match="golden"):
        Machine(refuse).search()
