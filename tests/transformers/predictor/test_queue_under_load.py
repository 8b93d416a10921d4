"""The queue under more load than its model carries, simulated: requests arrive whatever becomes of those before."""

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BusyError, TooLateError
from kserve_transformers.predictor.limits import DEFAULT_LIMITS
from kserve_transformers.predictor.queue import Queue

SECONDS, SIZE = 60.0, 32
Speed = Callable[[float], float]


class Clock(selectors.SelectSelector):
    """An event loop that waits for nothing but time does not sleep: its clock moves on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return []


class Simulation:
    """A queue before a model whose instances serve in turn. The model drops what is too late before it runs.

    Args:
        service_s: of one batch at full speed, the mean; from half to one and a half times as long.
        speed: of the model at a time, 1 at full speed.
    """

    def __init__(self, clock: Clock, service_s: float, instances: int, speed: Speed) -> None:
        self._clock, self._service_s, self._speed = clock, service_s, speed
        self._free = asyncio.Semaphore(instances)
        self._queue = Queue("m", SIZE, DEFAULT_LIMITS)
        self._random = random.Random(0)
        self.seen: Counter[str] = Counter()

    async def arrivals(self, rate: float, deadline_s: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            while self._clock.now < SECONDS:
                await asyncio.sleep(self._random.expovariate(rate))
                tasks.create_task(self._request(deadline_s))

    async def _request(self, deadline_s: float) -> None:
        began = self._clock.now
        try:
            async with self._queue.turn(Deadline.after(deadline_s)):
                await self._infer(began + deadline_s)
            self.seen["answered"] += 1
        except TooLateError:
            self.seen["late"] += 1
        except BusyError:
            self.seen["refused" if self._clock.now == began else "refused late"] += 1

    async def _infer(self, deadline: float) -> None:
        try:
            async with asyncio.timeout(deadline - self._clock.now):
                await self._free.acquire()
        except TimeoutError:
            raise TooLateError("dropped") from None
        ends = self._clock.now + self._service_s * self._random.uniform(0.5, 1.5) / self._speed(self._clock.now)
        asyncio.get_running_loop().call_later(ends - self._clock.now, self._free.release)
        await asyncio.sleep(min(ends, deadline) - self._clock.now)
        if ends > deadline:
            raise TooLateError("the model works on, for nobody")


def steady(_: float) -> float:
    return 1.0


def slower(at_s: float) -> float:
    """Three times slower after a third of the time."""
    return 1.0 if at_s < SECONDS / 3 else 1 / 3


def beset(at_s: float) -> float:
    """Neighbours take five sixths of the processors, for 10 of every 20 s."""
    return 1.0 if at_s % 20 < 10 else 1 / 6


@pytest.mark.parametrize("times", [pytest.param(1.0, id="as much"), pytest.param(2.0), pytest.param(4.0)])
@pytest.mark.parametrize(
    ("service_s", "instances", "deadline_s", "speed", "least"),
    [
        pytest.param(0.2, 2, 1.0, steady, 0.8, id="deadlines of a few inferences"),
        pytest.param(0.2, 2, 3.0, steady, 0.8, id="deadlines within the queue's length"),
        pytest.param(0.2, 2, 10.0, steady, 0.8, id="deadlines beyond the queue's length"),
        pytest.param(0.27, 1, 1.0, steady, 0.65, id="one instance, deadlines of a few inferences"),
        pytest.param(0.27, 1, 3.0, steady, 0.8, id="one instance"),
        pytest.param(2.0, 1, 10.0, steady, 0.8, id="a large model"),
        pytest.param(0.04, 2, 1.0, steady, 0.8, id="a small model"),
        pytest.param(0.2, 2, 3.0, slower, 0.8, id="three times slower"),
        pytest.param(0.27, 1, 10.0, slower, 0.8, id="one instance three times slower"),
        pytest.param(0.2, 2, 3.0, beset, 0.8, id="neighbours come and go"),
        pytest.param(0.2, 2, 10.0, beset, 0.8, id="neighbours come and go, longer deadlines"),
    ],
)
def test_goodput_stays_near_the_best_and_who_is_accepted_is_answered_in_time(
    monkeypatch, times, service_s, instances, deadline_s, speed, least
):
    clock = Clock()
    loop = asyncio.SelectorEventLoop(clock)
    monkeypatch.setattr(loop, "time", lambda: clock.now)
    for module in ("kserve_transformers.predictor.queue", "kserve_transformers.deadline"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: clock.now))
    simulation, capacity = Simulation(clock, service_s, instances, speed), instances / service_s
    loop.run_until_complete(simulation.arrivals(times * capacity, deadline_s))
    loop.close()
    seen = simulation.seen
    best = sum(capacity * min(times, speed(second)) for second in range(int(SECONDS)))
    assert seen["answered"] >= least * best
    changes = sum(speed(second) > speed(second + 1) for second in range(int(SECONDS)))
    assert seen["late"] <= 0.03 * seen["answered"] + changes * SIZE  # nobody knew when they were accepted
    assert not seen["refused late"]
    assert times < 2 or seen["refused"] >= 0.8 * (times - 1) * best
