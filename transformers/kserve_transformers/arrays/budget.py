"""A memory budget that threads share: a thread that needs more than is left waits."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def give_back_blocks(of_bytes: int) -> None:
    """Let freed blocks of this size and more go back to the system at once, and smaller ones not, where it is glibc.

    By default glibc raises its threshold at the first large block that is freed, and then keeps such blocks for the
    thread that freed them: threads that took turns at large images would each hold one. And it returns smaller blocks
    whenever 128 KB are free, so that the pages of every image would be requested, and cleared, anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, of_bytes)
        mallopt(_M_TRIM_THRESHOLD, of_bytes)


class Budget:
    """An amount that several threads spend at the same time, in the order in which they ask.

    Args:
        limit: of what is spent at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._spent = 0
        self._turn = threading.Lock()
        self._returned = threading.Condition()

    @contextmanager
    def spend(self, amount: int) -> Iterator[None]:
        """Wait for the amount, and have it until the end of the block; more than the limit is all of it."""
        amount = min(amount, self.limit)
        with self._turn, self._returned:  # one waits at a time, so that small amounts do not overtake a large one
            self._returned.wait_for(lambda: self._spent + amount <= self.limit)
            self._spent += amount
        try:
            yield
        finally:
            with self._returned:
                self._spent -= amount
                self._returned.notify()
