"""The queue in front of a model: its order, its bounds, and how many it lets through."""

import asyncio
from contextlib import suppress

import pytest

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BusyError, TooLateError
from kserve_transformers.predictor.queue import LEAST, TARGET_S, Queue


@pytest.fixture
def full():
    """A queue of 12 whose model is given LEAST and answers none of them; the events end them."""
    return Queue("m", 12)


async def hold(queue, until, deadline_s=30.0):
    async with queue.turn(Deadline.after(deadline_s)) as waited_s:
        await until.wait()
    return waited_s


async def start(queue, count, until, **options):
    tasks = [asyncio.create_task(hold(queue, until, **options)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_what_finds_no_place_is_refused_and_the_rest_is_served_in_order(full):
    end = asyncio.Event()
    tasks = await start(full, 12, end)
    assert (len(full), full.room) == (12, 0)
    with pytest.raises(BusyError, match="m is busy"):
        await hold(full, end)
    end.set()
    waited = await asyncio.gather(*tasks)
    assert waited[:LEAST] == [0.0] * LEAST
    assert all(seconds > 0 for seconds in waited[LEAST:])
    assert (len(full), full.room) == (0, 12)


async def test_an_expired_one_leaves_without_having_had_its_turn(full):
    end, never = asyncio.Event(), asyncio.Event()
    working = await start(full, LEAST, end)
    (hurried,) = await start(full, 1, never, deadline_s=0.01)
    with pytest.raises(TooLateError):
        await hurried
    assert len(full) == LEAST
    end.set()
    await asyncio.gather(*working)
    assert len(full) == 0


async def test_leaving_callers_take_nobodys_place(full):
    """Callers that are cancelled while they wait, some in the very moment in which their turn comes."""
    for moment in range(4):
        end = asyncio.Event()
        working = await start(full, LEAST, end)
        leaving = await start(full, 3, end)
        if moment % 2:
            end.set()
            for _ in range(moment):
                await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        end.set()
        await asyncio.gather(*working)
        for task in leaving:
            with suppress(asyncio.CancelledError):
                await task
        assert len(full) == 0
        assert full.room == 12


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0.02, 12, id="a fast model is given all that there is room for"),
        pytest.param(2.0, LEAST, id="a slow one no more than it needs to be busy"),
    ],
)
async def test_as_many_are_at_work_as_the_model_works_off(monkeypatch, seconds, expected):
    queue = Queue("m", 12)
    now = 0.0
    monkeypatch.setattr("kserve_transformers.predictor.queue.time.monotonic", lambda: now)
    for _ in range(60):
        count = queue.at_work_limit
        end = asyncio.Event()
        tasks = await start(queue, count, end, deadline_s=1e9)
        now += seconds
        end.set()
        await asyncio.gather(*tasks)
    assert queue.at_work_limit == expected


async def test_the_time_at_work_settles_at_the_target(monkeypatch):
    """A model that answers 40 a second, however many are at work."""
    queue, rate = Queue("m", 64), 40.0
    now = 0.0
    monkeypatch.setattr("kserve_transformers.predictor.queue.time.monotonic", lambda: now)
    for _ in range(60):
        count = queue.at_work_limit
        end = asyncio.Event()
        tasks = await start(queue, count, end, deadline_s=1e9)
        now += count / rate
        end.set()
        await asyncio.gather(*tasks)
    assert queue.at_work_limit / rate == pytest.approx(TARGET_S, rel=0.1)


async def test_a_failure_teaches_nothing():
    queue = Queue("m", 12)
    with pytest.raises(ValueError, match="no"):
        async with queue.turn(Deadline.after(1)):
            raise ValueError("no")
    assert (len(queue), queue.at_work_limit) == (0, LEAST)
