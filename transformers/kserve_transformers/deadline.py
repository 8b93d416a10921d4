"""One deadline for a whole request, from its first byte, passed to everything that works on it."""

import contextvars
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from kserve_transformers.errors import BadRequestError, TooLateError

TIMEOUT_HEADER = "x-request-timeout-ms"
# When a request's first byte came, on the clock of `time.monotonic`: a key of its ASGI scope.
BEGAN = "modelport.began"


def count_from(began: float, latest: float = math.inf) -> None:
    """Tell what the transport knows of the running request's time, on the clock of `time.monotonic`.

    Args:
        began: when its first byte came.
        latest: its end, where the protocol itself sets one.
    """
    _request.set(_Request(began, latest))


@dataclass(frozen=True)
class Deadline:
    """A point in time, on the clock of `time.monotonic`, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline that lies so many seconds ahead."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def of_request(cls, headers: Mapping[str, str], limit_s: float, own_s: float | None = None) -> Self:
        """The deadline that the running request sets, capped by the server's; its header is read once.

        Args:
            headers: of the request.
            limit_s: seconds from its first byte (see `count_from`) that the server allows.
            own_s: seconds that its body allows.

        Raises:
            BadRequestError: the header is not a positive number of milliseconds.
        """
        request = _request.get() or _Request(time.monotonic())
        if request.end is None:
            value = headers.get(TIMEOUT_HEADER)
            seconds = limit_s
            if value is not None:
                if not (value.isascii() and value.isdigit() and int(value[:12]) > 0):
                    raise BadRequestError(f"{TIMEOUT_HEADER} must be a positive number of milliseconds")
                seconds = min(limit_s, int(value[:12]) / 1000)
            request.end = min(request.began + seconds, request.latest)
        return cls(min(request.end, request.began + (math.inf if own_s is None else own_s)))

    def remaining_s(self) -> float:
        """Seconds left.

        Raises:
            TooLateError: none are.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TooLateError("the request's deadline passed before an answer was there")
        return left

    def share(self, parts: int) -> Self:
        """The deadline of the first of so many attempts that divide what is left."""
        return self.after(self.remaining_s() / parts)


@dataclass
class _Request:
    """The time of the running request: when it began, its end by the protocol, and its end once that is known."""

    began: float
    latest: float = math.inf
    end: float | None = None


_request: contextvars.ContextVar[_Request | None] = contextvars.ContextVar("request", default=None)
