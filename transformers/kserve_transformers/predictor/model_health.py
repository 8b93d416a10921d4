"""The health of one model as a pure state machine: events go in, decisions come out.

It does no input or output, never sleeps, and reads no clock but the one it is given: any history can be replayed.

    event                               effect
    request_ended: RIGHT                fresh; failures are counted from zero
    request_ended: ERROR or LATE        after several in a row: not ready, breaker open
    request_ended: LOST                 not ready; probe at once
    probe_ended: RIGHT                  ready, breaker closed, unless a process was lost during the probe
    probe_ended: LATE                   the first: probe again at once with more time; the second in a row: not ready
    probe_ended: WRONG, ERROR, LOST     not ready
    any failed probe while not ready    what serves is forgotten, and learned again before the next probe
    took_over                           another release serves, ready; the result of a probe under way is ignored

While the breaker is open, requests are refused. It is half-open while a probe is under way: one inference at a time,
of the golden sample, so that no caller's request is risked.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kserve_transformers.predictor.limits import PredictorLimits

# What answers for the model: a release and its declaration. The state machine only keeps it.
Release = TypeVar("Release")


class Finding(enum.Enum):
    """What the end of an inference shows about the model."""

    RIGHT = "a right answer"
    WRONG = "not the golden answer"
    ERROR = "an error, or an answer of another form than declared"
    LATE = "no answer within the timeout"
    LOST = "the process, the connection or the version is gone"


@dataclass(frozen=True)
class Observation:
    """The end of one inference.

    Attributes:
        reason: what is wrong, for display; empty where nothing is.
        timeout_s: how long the answer could take.
        took_s: how long it took, where it came.
    """

    finding: Finding
    reason: str = ""
    timeout_s: float = math.inf
    took_s: float = 0.0


@dataclass
class Trial(Generic[Release]):
    """A release on trial: it must give the golden answer several times before it may take over."""

    release: Release
    needed: int
    right: int = 0
    reason: str | None = None

    def answered(self, reason: str | None) -> None:
        """Record a golden answer: what is wrong with it, or None. One wrong answer fails the trial."""
        self.right += reason is None
        self.reason = self.reason or reason

    @property
    def over(self) -> bool:
        """Whether no further answer is needed."""
        return self.reason is not None or self.right >= self.needed

    @property
    def proven(self) -> bool:
        """Whether the release may take over."""
        return self.over and self.reason is None


class ModelHealth(Generic[Release]):
    """Whether a model can be trusted, and when it must be probed.

    Args:
        limits: when to probe and whom to trust.
        clock: seconds, of any origin. A clock that goes backwards stands still here until it is ahead again.

    Attributes:
        serving: what answers; None while that must be learned.
        refusal: why a request must not be sent now; None where it may be. A model that is not ready only because it
            has not answered for too long refuses nothing: the answer to a waiting request would prove it.
        breaker_open: whether requests are refused because of failures in a row.
    """

    def __init__(self, limits: PredictorLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.serving: Release | None = None
        self.refusal: str | None = "has not been probed yet"
        self.breaker_open = False
        self._limits = limits
        self._clock = clock
        self._now_s = -math.inf
        self._good_at = self._golden_at = self._probe_ended_at = -math.inf
        self._probe_began_at: float | None = None  # None while none is under way
        self._probe_took_s = 0.0
        self._void = False  # another release took over during the probe under way
        self._suspected = False  # a process was lost since the last probe began
        self._late_probes = 0
        self._failures = 0

    @property
    def unready_reason(self) -> str | None:
        """Why the model is not ready; None where it is."""
        if self.refusal is None and self._now() - self._good_at > self._limits.fresh_s:
            return f"has not answered for {self._limits.fresh_s:g} s"
        return self.refusal

    def probe_due_in_s(self) -> float:
        """Seconds until the next probe is due: 0 if it is now, infinity while one is under way."""
        if self._probe_began_at is not None:
            return math.inf
        if self._suspected or self._retry_late:
            return 0.0
        due_at = self._probe_ended_at + self._limits.probe_retry_s
        if self.refusal is None:
            longest_s = min(self._probe_took_s / self._limits.probe_share, self._limits.idle_max_s)
            idle_at = self._good_at + max(self._limits.idle_min_s, longest_s)
            due_at = max(due_at, min(idle_at, self._golden_at + self._limits.golden_check_s))
        return max(0.0, due_at - self._now())

    def start_probe(self) -> float:
        """Begin a probe, which the caller carries out, and return its timeout in seconds.

        Where nothing serves, the caller first learns what does and reports it by `learned`.

        Raises:
            RuntimeError: one is under way.
        """
        if self._probe_began_at is not None:
            raise RuntimeError("a probe is under way: report its end first")
        self._probe_began_at = self._now()
        self._suspected = self._void = False
        timeouts_s = self._limits.probe_timeouts_s
        return timeouts_s[min(self._late_probes, len(timeouts_s) - 1)]

    def learned(self, release: Release) -> Release:
        """Record what the probe under way has learned, and return what serves: this, or what took over meanwhile."""
        if self.serving is None:
            self.serving = release
        return self.serving

    def probe_ended(self, seen: Observation) -> None:
        """Record the result of the probe under way.

        Raises:
            RuntimeError: none is.
        """
        began_at, self._probe_began_at, self._probe_ended_at = self._probe_began_at, None, self._now()
        if began_at is None:
            raise RuntimeError("no probe is under way")
        if self._void:
            return
        if seen.finding is Finding.RIGHT:
            self._probe_took_s = seen.took_s
            self._late_probes = 0
            if not self._suspected:
                self._trust()
            return
        self._late_probes = self._late_probes + 1 if seen.finding is Finding.LATE else 0
        if self.refusal is not None:
            self.serving = None  # Triton may come back with another version
        # Under load a probe may wait in Triton's queue while callers get their answers.
        answers_callers = self._good_at > began_at
        if not self._retry_late and not (self._late_probes and answers_callers):
            self.refusal = seen.reason

    def request_ended(self, seen: Observation) -> None:
        """Record the end of a caller's request to what serves."""
        if seen.finding is Finding.RIGHT:
            self._failures = 0
            self._good_at = self._now()
            return
        if seen.finding is Finding.LOST:
            # What is loaded again may be another network: it must be probed before it answers.
            self._suspected = True
            self.refusal = self.refusal or "lost a process and is being checked"
            return
        if seen.finding is Finding.LATE and seen.timeout_s < self._limits.blame_timeout_s:
            return
        self._failures += 1
        if self._failures >= self._limits.failures_to_open:
            self.breaker_open = True
            self.refusal = "failed repeatedly and is being checked"

    def took_over(self, trial: Trial[Release]) -> None:
        """Another release serves from now on.

        Raises:
            ValueError: it did not prove itself.
        """
        if not trial.proven:
            raise ValueError("only a release that gave its golden answer may take over")
        self.serving, self._void = trial.release, True
        self._suspected, self._late_probes = False, 0
        self._trust()

    @property
    def _retry_late(self) -> bool:
        return 0 < self._late_probes < len(self._limits.probe_timeouts_s)

    def _trust(self) -> None:
        self._golden_at = self._good_at = self._now()
        self._failures, self.breaker_open, self.refusal = 0, False, None

    def _now(self) -> float:
        self._now_s = max(self._now_s, self._clock())
        return self._now_s
