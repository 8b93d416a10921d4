"""One deadline for a whole request, passed to everything that works on it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from kserve_transformers.errors import BadRequestError, TooLateError

TIMEOUT_HEADER = "x-request-timeout-ms"


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
        """The deadline that a request sets, capped by the server's.

        Raises:
            BadRequestError: the header is not a positive number of milliseconds.
        """
        value = headers.get(TIMEOUT_HEADER)
        if value is None:
            return cls.after(limit_s)
        if not (value.isascii() and value.isdigit() and int(value[:12]) > 0):
            raise BadRequestError(f"{TIMEOUT_HEADER} must be a positive number of milliseconds")
        return cls.after(min(limit_s, int(value[:12]) / 1000))

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
