"""Rolls a release out by itself: counts, judges, and moves the canary's share, until all or none is left to it.

Shares live in the release file alone. A judge that is killed leaves them as they are; started again it goes on with
the step that it finds there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kserve_transformers.judging.judge import Counts, Judgement, Outcome, judge
from modelport.environment import say
from modelport.manifests.release_file import Choice
from modelport.releases import log, rollout
from modelport.releases.errors import RolloutError
from modelport.releases.judging.sight import UnseenError
from modelport.releases.rollout import Folders, Transition

PROMOTED, REVERTED, TAKEN_OVER = 0, 3, 4  # exit codes


@dataclass(frozen=True)
class Rolling:
    """A release on its way to all requests. `steps` are as for judge.check_steps; `every_s` is between two looks."""

    folders: Folders
    service: str
    release: str
    steps: Sequence[int]
    every_s: float
    why: str = ""

    def run(self, counts: Callable[[Choice], Counts]) -> int:
        """Look, judge and act until the rollout ends; returns PROMOTED, REVERTED or TAKEN_OVER.

        Args:
            counts: of the step that a choice describes; raises UnseenError where there are none.

        Raises:
            RolloutError: the release file cannot be changed.
        """
        now = self._choice()
        if (now.canary, bool(now.percent)) != (self.release, True):
            self._change(now, "canary", rollout.canary(self.release, self.steps[0]), self.why)
        told: object = None
        while True:
            time.sleep(self.every_s)
            now = self._choice()
            if now.canary != self.release or not now.percent:
                say(f"somebody else changed {self.service}: the judge ends, the shares stay as they are")
                return TAKEN_OVER
            found = self._judgement(now, counts)
            if found.outcome is Outcome.HOLD:
                rules = now, [reason.partition(":")[0] for reason in found.reasons]
                if rules != told:
                    told = rules
                    self._note(now, found)
            elif self._act(now, found):
                return PROMOTED if found.outcome is Outcome.PROMOTE else REVERTED

    def _judgement(self, now: Choice, counts: Callable[[Choice], Counts]) -> Judgement:
        try:
            return judge(counts(now), now.percent, self.steps)
        except UnseenError as error:
            return Judgement(Outcome.HOLD, now.percent, (f"not seen: {error}",))

    def _act(self, now: Choice, found: Judgement) -> bool:
        """Change the shares; returns whether the rollout has ended."""
        why = "; ".join(found.reasons)
        if found.outcome is Outcome.REVERT:
            self._change(now, "rollback", rollout.rollback(self.service), why)
        elif found.percent == 100:
            self._change(now, "promote", rollout.promote, why)
        else:
            self._change(now, "canary", rollout.canary(self.release, found.percent), why)
            return False
        return True

    def _change(self, expected: Choice, what: str, transition: Transition, why: str) -> None:
        """Change the release file, unless somebody else just did."""

        def guarded(now: Choice, changes: Sequence[log.Entry]) -> Choice:
            if now != expected:
                raise RolloutError(f"somebody else changed {self.service} meanwhile: run the command again to go on")
            return transition(now, changes)

        rollout.change(self.folders, what, self.service, why, guarded)
        after = self._choice()
        share = f"{self.release} gets {after.percent} %" if after.percent else f"{after.stable} serves all requests"
        say(f"{what}: {share}" + (f": {why}" if why else ""))

    def _note(self, now: Choice, found: Judgement) -> None:
        why = "; ".join(found.reasons)
        rollout.note(self.folders, "hold", self.service, now, why)
        say(f"hold: {self.release} keeps {now.percent} %: {why}")

    def _choice(self) -> Choice:
        return rollout.choices(self.folders, self.service)[self.service]
