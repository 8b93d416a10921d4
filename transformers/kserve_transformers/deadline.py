"""One deadline for a whole request, from its first byte, passed to everything that works on it."""

from __future__ import annotations

import contextvars
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from kserve_transformers.errors import BadRequestError, TooLateError

TIMEOUT_HEADER = "x-request-timeout-ms"
# When a request's first byte came, on the clock of `time.monotonic`: a key of its ASGI scope.
BEGAN = "modelport.began"
_span: contextvars.ContextVar[tuple[float, float] | None] = contextvars.ContextVar("span", default=None)


def count_from(began: float, latest: float = math.inf) -> None:
    """Tell what the transport knows of the running request's time, on the clock of `time.monotonic`.

    Args:
        began: when its first byte came.
        latest: its end, where the protocol itself sets one.
    """
    _span.set((began, latest))


@dataclass(frozen=True)
class Deadline:
    """A point in time, on the clock of `time.monotonic`, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that lies so many seconds ahead."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def of_request(cls, headers: Mapping[str, str], limit_s: float) -> Deadline:
        """The deadline that a request sets, capped by the server's; `count_from` has set when the request began.

        Raises:
            BadRequestError: the header is not a positive number of milliseconds.
        """
        began, latest = _span.get() or (time.monotonic(), math.inf)
        value = headers.get(TIMEOUT_HEADER)
        seconds = limit_s
        if value is not None:
            if not (value.isascii() and value.isdigit() and int(value[:12]) > 0):
                raise BadRequestError(f"{TIMEOUT_HEADER} must be a positive number of milliseconds")
            seconds = min(limit_s, int(value[:12]) / 1000)
        return cls(min(began + seconds, latest))

    def remaining_s(self) -> float:
        """Seconds left.

        Raises:
            TooLateError: none are.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TooLateError("the request's deadline passed before an answer was there")
        return left

    def share(self, parts: int) -> Deadline:
        """The deadline of the first of so many attempts that divide what is left."""
        return Deadline.after(self.remaining_s() / parts)
