"""The search: a coarse grid, then the neighbours of the best, then a comparison of the best with the present."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modelport.environment import CommandError
from modelport.measure.tune.judging import LEAST_PAIRS, Judge, Turn
from modelport.measure.tune.knobs import Knobs

ROUNDS = 2  # of each set of candidates
PAIRS = 8  # of the final comparison, where time allows; LEAST_PAIRS are always kept free


class RefusedError(CommandError):
    """A candidate cannot be served; the message says why."""


@dataclass
class Found:
    """What a search measured and decided."""

    present: Knobs  # the configuration that was there
    best: Knobs  # the one to have; the present one where nothing is better beyond doubt
    why: str = ""  # the reason
    searched: dict[Knobs, dict[int, Turn]] = field(default_factory=dict)  # turns of the search by candidate and round
    compared: dict[Knobs, dict[int, Turn]] = field(default_factory=dict)  # turns of the final comparison
    refused: dict[Knobs, str] = field(default_factory=dict)  # why a candidate cannot be served


class Search:
    """Measures candidates in rounds, until the time is up.

    Args:
        measure: one turn of a candidate; raises RefusedError.
        judge: of the profile.
        minutes: to spend, on the whole.
        clock: seconds.
        tell: takes a line about each turn.
    """

    def __init__(
        self,
        measure: Callable[[Knobs], Turn],
        judge: Judge,
        minutes: float,
        clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._measure, self._judge, self._clock, self._tell = measure, judge, clock, tell
        self._began, self._end = clock(), clock() + 60 * minutes
        self._turns = self._round = 0

    def run(self, grid: Sequence[Knobs], neighbours: Callable[[Knobs], Sequence[Knobs]]) -> Found:
        """Search from a grid on.

        Args:
            grid: the present configuration first.
            neighbours: of a candidate.

        Raises:
            RefusedError: the present configuration cannot be served.
        """
        found = Found(grid[0], grid[0])
        self._rounds(found, grid[1:])
        while self._time_left():
            best = self._judge.best(found.present, found.searched)
            known = {*found.searched, *found.refused}
            unknown = [one for one in neighbours(best) if one not in known]
            if not unknown:
                break
            self._rounds(found, [best, *unknown] if best != found.present else unknown)
        best = self._judge.best(found.present, found.searched)
        if best == found.present:
            own = found.searched[best]
            found.why = self._judge.objection(own, own) or "no other was faster"
            if len(found.searched) == 1:
                found.why = "no other could be measured: allow more time"
            return found
        self._tell(f"final comparison: {best} with the present {found.present}")
        self._compare(found, best)
        better, why = self._judge.verdict(found.compared[found.present], found.compared.get(best, {}))
        found.best, found.why = best if better else found.present, f"{best}: {found.refused.get(best, why)}"
        return found

    def _rounds(self, found: Found, others: Sequence[Knobs]) -> None:
        """Turns of the present configuration and of others, in an order that alternates."""
        for turn in range(ROUNDS):
            self._round += 1
            order = others if turn % 2 == 0 else others[::-1]
            self._take(found.searched, found, found.present)
            for knobs in order:
                if not self._time_left():
                    return
                self._take(found.searched, found, knobs)

    def _compare(self, found: Found, best: Knobs) -> None:
        """Pairs of neighbouring turns, as many as the time allows; each of the two is first in every other one."""
        for pair in range(PAIRS):
            if pair >= LEAST_PAIRS and self._clock() + 2 * self._turn_s() > self._end:
                return
            self._round += 1
            for knobs in (found.present, best) if pair % 2 == 0 else (best, found.present):
                self._take(found.compared, found, knobs)

    def _take(self, turns: dict[Knobs, dict[int, Turn]], found: Found, knobs: Knobs) -> None:
        if knobs in found.refused:
            return
        try:
            turn = self._measure(knobs)
        except RefusedError as error:
            if knobs == found.present:
                raise
            found.refused[knobs] = str(error)
            for kept in (found.searched, found.compared):
                kept.pop(knobs, None)
            self._tell(f"{knobs}: refused ({error})")
            return
        finally:
            self._turns += 1
        turns.setdefault(knobs, {})[self._round] = turn
        self._tell(f"{knobs}: {turn}")

    def _turn_s(self) -> float:
        """How long a turn takes, on average."""
        return (self._clock() - self._began) / self._turns if self._turns else 0.0

    def _time_left(self) -> bool:
        """Whether a turn still fits before the final comparison."""
        return self._clock() + (1 + 2 * LEAST_PAIRS) * self._turn_s() <= self._end
