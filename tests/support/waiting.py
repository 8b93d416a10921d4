"""Waiting for a condition: the one deadline of the tests, which only a fault misses."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE_S = 600.0
Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], log: Path | None = None, seconds: float = PATIENCE_S) -> Found:
    """Wait until a condition is true.

    Args:
        condition: called every tenth of a second.
        log: shown if the condition does not become true.
        seconds: for how long.

    Returns:
        The condition's value, which is true.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, log.read_text(errors="replace") if log else f"still false after {seconds} s"
        time.sleep(0.1)
    return found
