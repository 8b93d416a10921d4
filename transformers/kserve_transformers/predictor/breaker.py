"""A circuit breaker: after several failures in a row a model is left alone until a probe finds it well."""

from __future__ import annotations

from dataclasses import dataclass

FAILURES_TO_OPEN = 3


@dataclass
class Breaker:
    """Counts failures in a row; open means that nothing is sent.

    It closes again by `succeed`, which a probe with the golden sample calls: no caller's request is risked.
    """

    failures: int = 0
    open: bool = False

    def succeed(self) -> None:
        """The model answered well."""
        self.failures, self.open = 0, False

    def fail(self) -> bool:
        """The model answered an error or too late; returns whether the breaker is open now."""
        self.failures += 1
        self.open = self.open or self.failures >= FAILURES_TO_OPEN
        return self.open
