"""The queue in front of a model: which batches run, which wait, and which are rejected."""

import asyncio
import contextlib
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
    any work having been done for it. One that would be answered after its deadline is rejected at once: otherwise all
    would be answered just too late while more arrive than the model completes. When it would be answered follows from
    the time between the model's answers of late.

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
        self._gap_s, self._gaps = 0.0, 0  # the mean time between two answers of the busy model, and of how many
        self._answered_at = 0.0  # the last answer, or the beginning of the work since
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many batches wait and run."""
        return self._running + len(self._waiting)

    @property
    def running_limit(self) -> int:
        """How many batches may run at present."""
        return round(self._limit)

    def room_within(self, seconds: float) -> int:
        """How many more batches the queue takes at present that are to be answered within so many seconds."""
        at_once = 0 if self._waiting else self._limits.queue_unconditional - self._running
        in_time = self._limits.queue_deadline_share * seconds / (self._gap_s or 1e-6) - len(self)
        return max(0, int(min(self._size - len(self), max(at_once, in_time))))

    @contextlib.asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[float]:
        """Wait for this batch's turn; the block runs the inference. Yields the seconds that were waited.

        Raises:
            BusyError: the queue is full, or too long for the deadline.
            TooLateError: the deadline passed while it waited.
        """
        waited_s = await self._wait(deadline)
        concurrency, began = self._running, time.monotonic()
        if concurrency == 1:
            self._answered_at = began
        try:
            yield waited_s
            self._measure_gap()
            self._measure(concurrency, time.monotonic() - began)
        except TooLateError:
            self._measure_gap(late=True)
            raise
        finally:
            self._leave()

    async def _wait(self, deadline: Deadline) -> float:
        if not self.room_within(deadline.remaining_s()):
            raise BusyError(f"model {self._name} is busy: more batches wait than it can answer in time")
        if not self._waiting and self._running < self.running_limit:
            self._running += 1
            return 0.0
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
        target_s = self._limits.queue_target_s
        if concurrency >= self.running_limit or seconds > target_s:
            sample = min(self._size, concurrency * target_s / max(seconds, 1e-6))
            self._limit = max(self._least, self._limit + self._limits.queue_smoothing * (sample - self._limit))

    def _measure_gap(self, late: bool = False) -> None:
        """Learn the time between two answers; from a late one only that it is longer than known."""
        now = time.monotonic()
        gap_s = now - self._answered_at
        if not late:
            self._answered_at = now
        elif gap_s <= self._gap_s:
            return
        self._gaps += 1
        self._gap_s += max(self._limits.queue_smoothing, 1 / self._gaps) * (gap_s - self._gap_s)
