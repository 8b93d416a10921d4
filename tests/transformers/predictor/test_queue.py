"""The queue in front of a model: its order, its bounds, and how many batches run at once."""

import asyncio
from contextlib import suppress

import pytest

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BusyError, TooLateError
from kserve_transformers.predictor.limits import DEFAULT_LIMITS
from kserve_transformers.predictor.queue import Queue

LEAST, TARGET_S = DEFAULT_LIMITS.queue_concurrency, DEFAULT_LIMITS.queue_target_s


@pytest.fixture
def full():
    """A queue of 12 whose first LEAST batches run until an event ends them."""
    return Queue("m", 12, DEFAULT_LIMITS)


async def hold(queue, until, deadline_s=30.0):
    async with queue.turn(Deadline.after(deadline_s)) as waited_s:
        await until.wait()
    return waited_s


async def start(queue, count, until, **options):
    tasks = [asyncio.create_task(hold(queue, until, **options)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_full_queue_rejects_and_serves_the_rest_in_order(full):
    end = asyncio.Event()
    tasks = await start(full, 12, end)
    assert (len(full), full.room_within(30)) == (12, 0)
    with pytest.raises(BusyError, match="m is busy"):
        await hold(full, end)
    end.set()
    waited = await asyncio.gather(*tasks)
    assert waited[:LEAST] == [0.0] * LEAST
    assert all(seconds > 0 for seconds in waited[LEAST:])
    assert (len(full), full.room_within(30)) == (0, 12)


async def test_an_expired_batch_leaves_without_having_run(full):
    end, never = asyncio.Event(), asyncio.Event()
    running = await start(full, LEAST, end)
    (urgent,) = await start(full, 1, never, deadline_s=0.01)
    with pytest.raises(TooLateError):
        await urgent
    assert len(full) == LEAST
    end.set()
    await asyncio.gather(*running)
    assert len(full) == 0


async def test_cancelled_batches_keep_no_place(full):
    """Some are cancelled at the moment at which their turn comes."""
    for moment in range(4):
        end = asyncio.Event()
        running = await start(full, LEAST, end)
        leaving = await start(full, 3, end)
        if moment % 2:
            end.set()
            for _ in range(moment):
                await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        end.set()
        await asyncio.gather(*running)
        for task in leaving:
            with suppress(asyncio.CancelledError):
                await task
        assert len(full) == 0
        assert full.room_within(30) == 12


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(0.02, 12, id="a fast model runs all that there is room for"),
        pytest.param(2.0, LEAST, id="a slow one no more than keeps its instances busy"),
    ],
)
async def test_as_many_run_as_the_model_completes_in_the_target_time(monkeypatch, seconds, expected):
    queue = Queue("m", 12, DEFAULT_LIMITS)
    now = 0.0
    monkeypatch.setattr("kserve_transformers.predictor.queue.time.monotonic", lambda: now)
    for _ in range(60):
        count = queue.running_limit
        end = asyncio.Event()
        tasks = await start(queue, count, end, deadline_s=1e9)
        now += seconds
        end.set()
        await asyncio.gather(*tasks)
    assert queue.running_limit == expected


async def test_the_running_time_settles_at_the_target(monkeypatch):
    """A model that answers 40 a second, however many run."""
    queue, rate = Queue("m", 64, DEFAULT_LIMITS), 40.0
    now = 0.0
    monkeypatch.setattr("kserve_transformers.predictor.queue.time.monotonic", lambda: now)
    for _ in range(60):
        count = queue.running_limit
        end = asyncio.Event()
        tasks = await start(queue, count, end, deadline_s=1e9)
        now += count / rate
        end.set()
        await asyncio.gather(*tasks)
    assert queue.running_limit / rate == pytest.approx(TARGET_S, rel=0.1)


async def test_a_failure_is_not_measured():
    queue = Queue("m", 12, DEFAULT_LIMITS)
    with pytest.raises(ValueError, match="no"):
        async with queue.turn(Deadline.after(1)):
            raise ValueError("no")
    assert (len(queue), queue.running_limit) == (0, LEAST)


async def test_who_would_wait_beyond_the_deadline_is_rejected_at_once(monkeypatch):
    """Four run at once and each takes 4 s, that is one a second: the ninth would wait for 8 s."""
    queue, now = Queue("m", 32, DEFAULT_LIMITS), 0.0
    monkeypatch.setattr("kserve_transformers.predictor.queue.time.monotonic", lambda: now)
    end = asyncio.Event()
    running = await start(queue, LEAST, end, deadline_s=1e9)
    now += LEAST
    end.set()
    await asyncio.gather(*running)
    never = asyncio.Event()
    tasks = await start(queue, 8, never, deadline_s=1e9)
    with pytest.raises(BusyError, match="more batches wait"):
        await hold(queue, never, deadline_s=9.0)
    tasks += await start(queue, 1, never, deadline_s=15.0)
    assert len(queue) == 9
    never.set()
    await asyncio.gather(*tasks)


async def test_an_empty_queue_takes_every_batch_whatever_was_measured(monkeypatch):
    queue, now = Queue("m", 32, DEFAULT_LIMITS), 0.0
    monkeypatch.setattr("kserve_transformers.predictor.queue.time.monotonic", lambda: now)
    with suppress(TooLateError):
        async with queue.turn(Deadline.after(1e9)):
            now += 1000.0
            raise TooLateError("the model did not answer in time")
    async with queue.turn(Deadline.after(0.1)) as waited_s:
        assert waited_s == 0.0
