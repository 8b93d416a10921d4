"""The health of one model as a pure state machine: events go in, decisions come out.

It does no input or output, never sleeps, and reads no clock but the one it is given: any history can be replayed.

    event                               effect
    request_began                       an answer is owed: where none comes to anybody, a probe is due soon
    request_ended: RIGHT                fresh
    request_ended: ERROR or LATE        probe soon; nothing is refused, because the cause may be that request's input
    request_ended: LOST                 not ready; probe at once
    probe_ended: RIGHT                  ready, unless a process was lost during the probe
    probe_ended: LATE                   slow: probe again at once with more time; not ready when patience has run out
    probe_ended: WRONG, ERROR, LOST     not ready
    any failed probe while not ready    what serves is forgotten, and learned again before the next probe
    took_over                           another release serves, ready; the result of a probe under way is ignored

Only the golden sample decides about a model: whatever callers send, it is taken out by a failed probe or a lost process
alone. While a probe has failed, the circuit breaker is open and requests are refused; a right probe closes it.
"""

import enum
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from kserve_transformers.predictor.limits import PredictorLimits

# What answers for the model: a release and its declaration. The state machine only keeps it.
Release = TypeVar("Release")

Condition = Literal["starting", "well", "slow", "stalled", "dead", "wrong"]

_FADING = 0.5  # how much of the longest duration of a probe the next right probe leaves


class Finding(enum.Enum):
    """What the end of an inference shows about the model."""

    RIGHT = "a right answer"
    WRONG = "not the golden answer"
    ERROR = "an error, or an answer of another form than declared"
    LATE = "no answer within the timeout"
    LOST = "the process, the connection or the version is gone"


_CONDITIONS: dict[Finding, Condition] = {
    Finding.WRONG: "wrong",
    Finding.ERROR: "wrong",
    Finding.LATE: "stalled",
    Finding.LOST: "dead",
}


@dataclass(frozen=True)
class Observation:
    """The end of one inference."""

    finding: Finding
    reason: str = ""  # what is wrong, for display; empty where nothing is
    timeout_s: float = math.inf  # how long the answer could take
    took_s: float = 0.0  # how long it took, where it came
    pressure: float = 0.0  # the share of that time, 0 to 1, in which processes of this machine had to wait for it


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
        watched: whether a supervisor watches the model's processes and reports by `process_lost` what it replaced.

    Attributes:
        serving: what answers; None while that must be learned.
        refusal: why a request must not be sent now; None where it may. A model that is not ready only because it
            has not answered for too long refuses nothing: the answer to a waiting request would prove it.
        breaker_open: whether requests are refused because a golden check failed.
    """

    def __init__(
        self, limits: PredictorLimits, clock: Callable[[], float] = time.monotonic, watched: bool = False
    ) -> None:
        self.serving: Release | None = None
        self.refusal: str | None = "has not been probed yet"
        self.breaker_open = False
        self._condition: Condition = "starting"
        self._limits = limits
        self._clock = clock
        self._watched = watched
        self._now_s = -math.inf
        self._good_at = self._golden_at = self._probe_ended_at = self._owed_at = -math.inf
        self._probe_began_at: float | None = None  # None while none is under way
        self._late_at: float | None = None  # when the first of the late probes in a row began
        self._lates = 0  # how many they are
        self._probe_took_s = self._slowest_s = 0.0
        self._void = False  # another release took over during the probe under way
        self._suspected = False  # a process was lost since the last probe began
        self._doubted = False  # a request failed since the last probe began
        self._vain_doubts = 0  # right probes in a row that failed requests have caused
        self._owed = 0  # requests under way

    @property
    def unready_reason(self) -> str | None:
        """Why the model is not ready; None where it is."""
        fresh_s = self._limits.fresh_s(self._watched)
        if self.refusal is None and self._now() - self._good_at > fresh_s:
            return f"has not answered for {fresh_s:g} s"
        return self.refusal

    @property
    def condition(self) -> Condition:
        """What is known of the model: only dead, wrong and stalled ones are cured by a replacement."""
        if self.refusal is None:
            return "well" if self._late_at is None else "slow"
        return self._condition

    def probe_due_in_s(self) -> float:
        """Seconds until the next probe is due: 0 if it is now, infinity while one is under way."""
        if self._probe_began_at is not None:
            return math.inf
        if self._suspected or (self.refusal is None and self._late_at is not None):
            return 0.0
        limits = self._limits
        due_at = self._probe_ended_at + limits.probe_retry_s
        if self.refusal is None:
            urgent_s = self._probe_took_s / (10 * limits.probe_share)
            idle_s = limits.watched_idle_s
            if not self._watched:
                idle_s = min(max(limits.idle_min_s, self._probe_took_s / limits.probe_share), limits.idle_max_s)
            wanted = [self._good_at + idle_s]
            if self._good_at > self._golden_at:
                wanted.append(self._golden_at + limits.golden_check_s)
            if self._owed:
                wanted.append(max(self._owed_at, self._good_at) + max(limits.owed_s, urgent_s))
            if self._doubted:
                pause_s = max(limits.probe_retry_s * 2.0 ** min(self._vain_doubts, 20), urgent_s)
                wanted.append(self._probe_ended_at + min(pause_s, limits.golden_check_s))
            due_at = max(due_at, min(wanted))
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
        self._vain_doubts = self._vain_doubts + 1 if self._doubted else 0
        self._suspected = self._void = self._doubted = False
        patience_s = self._limits.patience(self._slowest_s, 0.0)
        waited_s = 0.0 if self._late_at is None else self._now() - self._late_at
        first_s = max(self._limits.probe_timeout_s, 0.4 * patience_s)
        if self.refusal is not None:  # nobody waits for a verdict: a slow machine must be able to give an answer
            return min(first_s * 2.0 ** min(self._lates, 20), self._limits.patience_max_s)
        next_s = min(max(patience_s - waited_s, waited_s), self._limits.patience_max_s - waited_s)
        return first_s if self._late_at is None else max(first_s, next_s)

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
            self._slowest_s = max(seen.took_s, _FADING * self._slowest_s)
            self._late_at, self._lates = None, 0
            if not self._suspected:
                self._trust()
            return
        self._vain_doubts = 0
        self._lates = self._lates + 1 if seen.finding is Finding.LATE else 0
        if seen.finding is not Finding.LATE:
            self._late_at = None
        elif self.refusal is None:
            # Under load a probe may wait in Triton's queue while callers get their answers.
            self._late_at = None if self._good_at > began_at else began_at if self._late_at is None else self._late_at
            if self._late_at is None or not self._patience_is_over(seen.pressure):
                return
        if self.refusal is not None:
            self.serving = None  # Triton may come back with another version
        self._take_out(seen.reason, _CONDITIONS[seen.finding], breaker_open=True)

    def request_began(self) -> None:
        """A caller's request is sent to what serves."""
        if not self._owed:
            self._owed_at = self._now()
        self._owed += 1

    def request_ended(self, seen: Observation | None) -> None:
        """Record the end of a caller's request to what serves; None: it shows nothing, such as a caller that left."""
        self._owed = max(0, self._owed - 1)
        if seen is None:
            return
        if seen.finding is Finding.RIGHT:
            self._good_at = self._now()
        elif seen.finding is Finding.LOST:
            self.process_lost()
        elif seen.finding is not Finding.LATE or seen.timeout_s >= self._limits.blame_timeout_s:
            self._doubted = True

    def process_lost(self) -> None:
        """A process of the model is gone: what is loaded again may be another network, and is probed first."""
        self._suspected = True
        if self.refusal is None:
            self._take_out("lost a process and is being checked", "dead", breaker_open=False)

    def took_over(self, trial: Trial[Release]) -> None:
        """Another release serves from now on.

        Raises:
            ValueError: it did not prove itself.
        """
        if not trial.proven:
            raise ValueError("only a release that gave its golden answer may take over")
        self.serving, self._void = trial.release, True
        self._suspected, self._late_at, self._lates = False, None, 0
        self._trust()

    def _patience_is_over(self, pressure: float) -> bool:
        patience_s = self._limits.patience(self._slowest_s, pressure)
        return self._late_at is not None and self._now() - self._late_at >= patience_s

    def _take_out(self, reason: str, condition: Condition, breaker_open: bool) -> None:
        if self._condition != "starting" or condition == "wrong":  # what is being loaded answers late, or not at all
            self._condition = condition
        self.refusal, self.breaker_open, self._late_at = reason, breaker_open, None

    def _trust(self) -> None:
        self._golden_at = self._good_at = self._now()
        self._doubted = self.breaker_open = False
        self.refusal, self._condition = None, "well"

    def _now(self) -> float:
        self._now_s = max(self._now_s, self._clock())
        return self._now_s
