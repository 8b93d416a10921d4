"""Who may ask a model now, who waits for it, and who is turned away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BusyError, TooLateError

# How long what is handed to the model may take there: a probe, or a caller in a hurry, waits so long behind it ...
TARGET_S = 0.2
# ... or longer where the model is slower: two at work and two at hand, so that one of two instances never waits for us.
LEAST = 4
_SMOOTHING = 0.1


class Queue:
    """A bounded queue in front of a model, first come, first served.

    Only as many batches are handed over at once as the model works off in `TARGET_S` (Little's law: its throughput
    times that time), learnt from its answers. The others wait here, where one whose deadline passes leaves without any
    work having been done for it.

    Args:
        name: of the model.
        size: how many batches may be here and at work together.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._at_work = 0
        self._limit = float(min(size, LEAST))
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many batches are here and at work."""
        return self._at_work + len(self._waiting)

    @property
    def at_work_limit(self) -> int:
        """How many batches may be at work at present."""
        return round(self._limit)

    @property
    def room(self) -> int:
        """How many more batches it takes at present."""
        return max(0, self._size - len(self))

    @contextlib.asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[float]:
        """Wait for this batch's turn; the block asks the model. Gives the seconds that were waited.

        Raises:
            BusyError: the queue is full.
            TooLateError: the deadline passed while it waited.
        """
        waited_s = await self._wait(deadline)
        beside, began = self._at_work, time.monotonic()
        try:
            yield waited_s
            self._learn(beside, time.monotonic() - began)
        finally:
            self._leave()

    async def _wait(self, deadline: Deadline) -> float:
        if not self.room:
            raise BusyError(f"model {self._name} is busy: its queue of {self._size} is full")
        if not self._waiting and self._at_work < self.at_work_limit:
            self._at_work += 1
            return 0.0
        began = time.monotonic()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                await place
        except BaseException as exc:
            if place.done() and not place.cancelled():  # its turn came in the same moment: the next one's, then
                self._leave()
            else:
                with contextlib.suppress(ValueError):  # it was passed over already
                    self._waiting.remove(place)
            if isinstance(exc, TimeoutError):
                raise TooLateError(f"the request's deadline passed while it waited for model {self._name}") from None
            raise
        return time.monotonic() - began

    def _leave(self) -> None:
        self._at_work -= 1
        while self._waiting and self._at_work < self.at_work_limit:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._at_work += 1

    def _learn(self, beside: int, seconds: float) -> None:
        """What an answer that took so long, with so many at work when it was asked for, says of the throughput."""
        if beside >= self.at_work_limit or seconds > TARGET_S:
            sample = min(self._size, beside * TARGET_S / max(seconds, 1e-6))
            limit = self._limit + _SMOOTHING * (sample - self._limit)
            self._limit = max(float(min(LEAST, self._size)), limit)
