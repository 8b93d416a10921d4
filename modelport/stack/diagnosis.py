"""Slow, stalled, dead, wrong: what ails a process or the processes of a model, as a pure function of what was seen.

    dead       a process is gone
    stalled    a process is stopped; or it owes an answer and makes no progress; or it has worked for far longer than
               any answer takes, and gave none
    wrong      golden checks fail, whatever its processes do
    slow       it owes an answer and makes progress: it computes, waits in a run queue, or reads from a disk
    well       it owes nothing

Only dead, stalled and wrong are cured by a replacement. Nothing here reads a clock or a file: `modelport.stack.sight`
does, and any history can be replayed.
"""

import enum
from dataclasses import dataclass

STOPPED_S = 1.5  # a tracer stops a process for moments only
WRONG_S = 2.0  # several golden checks
STILL_S = 3.0  # an owed answer without any progress
ENDLESS_WORK_S = 60.0  # processor time without an answer
ENDLESS_S = 600.0  # any owed answer, whatever the progress
# Less than this share of the time is what an idle process spends on its own housekeeping.
WORKED_SHARE = 0.01
WAITED_SHARE = 0.1
_GONE, _STOPPED, _BUSY = "ZX", "Tt", "DR"


class Verdict(enum.Enum):
    """What ails it."""

    WELL = "well"
    SLOW = "slow"
    STALLED = "stalled"
    DEAD = "dead"
    WRONG = "wrong"

    @property
    def curable(self) -> bool:
        """Whether a replacement helps."""
        return self in (Verdict.STALLED, Verdict.DEAD, Verdict.WRONG)


@dataclass(frozen=True)
class ProcessSight:
    """A process at one moment."""

    pid: int
    state: str  # its letter in /proc/PID/stat
    worked_s: float = 0.0  # processor time since its start, of all threads, in seconds
    waited_s: float = 0.0  # likewise, time in run queues; 0 where that was not read
    paged: int = 0  # major page faults since its start


@dataclass(frozen=True)
class Sight:
    """What was seen at one moment."""

    at_s: float  # seconds, of any origin
    processes: tuple[ProcessSight, ...]
    expected: int = 1  # how many processes there must be
    owes: bool = False  # whether an answer is overdue
    wrong: bool = False  # whether its golden check fails by anything but lateness


class Diagnosis:
    """Judges one history, sight by sight."""

    def __init__(self) -> None:
        self._last: Sight | None = None
        self._stopped_at: float | None = None
        self._wrong_at: float | None = None
        self._owed_at: float | None = None
        self._progress_at = 0.0
        self._work_s = 0.0

    def judge(self, sight: Sight) -> Verdict:
        """The verdict after one more sight; `at_s` must not go backwards."""
        last, self._last = self._last, sight
        now = sight.at_s
        states = [process.state for process in sight.processes]
        stopped = any(state in _STOPPED for state in states)
        self._stopped_at = _since(self._stopped_at, stopped, now)
        self._wrong_at = _since(self._wrong_at, sight.wrong, now)
        if not sight.owes:
            self._owed_at = None
        elif self._owed_at is None:
            self._owed_at, self._progress_at, self._work_s = now, now, 0.0
        elif last is not None:
            self._look_for_progress(last, sight)
        if len(states) < sight.expected or any(state in _GONE for state in states):
            return Verdict.DEAD
        if self._stopped_at is not None and now - self._stopped_at >= STOPPED_S:
            return Verdict.STALLED
        if self._wrong_at is not None and now - self._wrong_at >= WRONG_S:
            return Verdict.WRONG
        if self._owed_at is None:
            return Verdict.WELL
        endless = self._work_s >= ENDLESS_WORK_S or now - self._owed_at >= ENDLESS_S
        return Verdict.STALLED if endless or now - self._progress_at >= STILL_S else Verdict.SLOW

    def _look_for_progress(self, last: Sight, sight: Sight) -> None:
        before = {process.pid: process for process in last.processes}
        known = [(before[process.pid], process) for process in sight.processes if process.pid in before]
        passed_s = sight.at_s - last.at_s
        worked_s = sum(now.worked_s - then.worked_s for then, now in known)
        waited_s = sum(now.waited_s - then.waited_s for then, now in known if then.waited_s)
        busy = any(now.paged > then.paged or now.state in _BUSY for then, now in known)
        self._work_s += worked_s
        if worked_s > WORKED_SHARE * passed_s or waited_s > WAITED_SHARE * passed_s or busy:
            self._progress_at = sight.at_s


def _since(since: float | None, holds: bool, now: float) -> float | None:
    """Since when something holds without a pause; None where it does not."""
    return (now if since is None else since) if holds else None
