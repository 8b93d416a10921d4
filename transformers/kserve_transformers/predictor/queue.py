"""The queue in front of a model: which batches run, which wait, and which are rejected."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BusyError, TooLateError
from kserve_transformers.predictor.limits import PredictorLimits


class Queue:
    """A bounded queue, first come, first served.

    Only as many batches run at once as the model completes in `limits.queue_target_s` (Little's law: its throughput
    times that time), measured from its answers. The others wait here, where one whose deadline passes leaves without
    any work having been done for it. One that would wait for longer than its deadline is rejected at once: otherwise
    all would be answered just too late while more arrive than the model completes.

    Args:
        name: of the model.
        size: how many batches may wait and run together.
        limits: those that begin with `queue_`.
    """

    def __init__(self, name: str, size: int, limits: PredictorLimits) -> None:
        self._name = name
        self._size = size
        self._limits = limits
        self._running = 0
        self._least = float(min(size, limits.queue_concurrency))
        self._limit = self._least
        self._rate = math.inf  # batches per second that the model completes
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many batches wait and run."""
        return self._running + len(self._waiting)

    @property
    def running_limit(self) -> int:
        """How many batches may run at present."""
        return round(self._limit)

    @property
    def room(self) -> int:
        """How many more batches the queue takes at present."""
        return max(0, self._size - len(self))

    @contextlib.asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[float]:
        """Wait for this batch's turn; the block runs the inference. Yields the seconds that were waited.

        Raises:
            BusyError: the queue is full, or too long for the deadline.
            TooLateError: the deadline passed while it waited.
        """
        waited_s = await self._wait(deadline)
        concurrency, began = self._running, time.monotonic()
        try:
            yield waited_s
            self._measure(concurrency, time.monotonic() - began)
        except TooLateError:
            self._measure_rate(concurrency, time.monotonic() - began)
            raise
        finally:
            self._leave()

    async def _wait(self, deadline: Deadline) -> float:
        if not self.room:
            raise BusyError(f"model {self._name} is busy: its queue of {self._size} is full")
        if not self._waiting and self._running < self.running_limit:
            self._running += 1
            return 0.0
        if (len(self) + 1) / self._rate > self._limits.queue_deadline_share * deadline.remaining_s():
            raise BusyError(f"model {self._name} is busy: its queue is longer than the request's deadline allows")
        began = time.monotonic()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                await place
        except BaseException as exc:
            if place.done() and not place.cancelled():  # its turn came in the same moment: pass it on
                self._leave()
            else:
                with contextlib.suppress(ValueError):  # it was skipped already
                    self._waiting.remove(place)
            if isinstance(exc, TimeoutError):
                raise TooLateError(f"the request's deadline passed while it waited for model {self._name}") from None
            raise
        return time.monotonic() - began

    def _leave(self) -> None:
        self._running -= 1
        while self._waiting and self._running < self.running_limit:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._running += 1

    def _measure(self, concurrency: int, seconds: float) -> None:
        """Learn the throughput from an answer that took so long while so many batches ran."""
        self._measure_rate(concurrency, seconds)
        target_s = self._limits.queue_target_s
        if concurrency >= self.running_limit or seconds > target_s:
            sample = min(self._size, concurrency * target_s / max(seconds, 1e-6))
            self._limit = max(self._least, self._limit + self._limits.queue_smoothing * (sample - self._limit))

    def _measure_rate(self, concurrency: int, seconds: float) -> None:
        """Learn the rate likewise; others may have begun beside it, and a rate too high rejects nobody."""
        sample = max(concurrency, self._running) / max(seconds, 1e-6)
        known = math.isfinite(self._rate)
        self._rate = self._rate + self._limits.queue_smoothing * (sample - self._rate) if known else sample
