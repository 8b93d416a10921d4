"""Rolls a service's canary out in a cluster: counts, judges, and moves its share, until all or none is left to it.

Shares live in the InferenceService alone. A judge that is killed leaves them as they are; its Job starts it again, and
it goes on with the step, the counts and the ending that it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

import httpx

from kserve_transformers.judging import counting, shares
from kserve_transformers.judging.api import Api, ApiError
from kserve_transformers.judging.counting import Pod, Step, UnseenError
from kserve_transformers.judging.judge import Judgement, Outcome, Tally, judge
from kserve_transformers.judging.pairs import disagreement
from kserve_transformers.judging.shares import Shares
from kserve_transformers.record.reading import Reader

PROMOTED, NO_CANARY, REVERTED, TAKEN_OVER = 0, 2, 3, 4  # exit codes
LOG_LINES = 200  # that the state keeps
POLL_S = 2.0
_SERVING, _APPS, _CORE, _GATEWAY = "serving.kserve.io/v1beta1", "apps/v1", "v1", "gateway.networking.k8s.io/v1"
_METRICS_TIMEOUT_S = 5.0
_CHANGED = (409, 422)  # somebody else changed it meanwhile: a test of the patch failed

Answer = TypeVar("Answer")


class TakenOverError(Exception):
    """Somebody else changed the service's releases."""


@dataclass
class Rollout:
    """A canary on its way to all requests."""

    api: Api  # of the cluster
    service: str  # name of the InferenceService
    steps: Sequence[int]  # see judge.check_steps
    every_s: float  # between two looks
    state: str  # name of the ConfigMap that keeps the counts and the log
    metrics_port: int = 8080  # of the pods
    record: str = ""  # folder or URL of a record of the release as a shadow, which is judged too; empty: none
    _pairs: Tally | None = field(default=None, init=False)

    def run(self) -> int:
        """Look, judge and act until the rollout ends; returns an exit code. What does not answer is asked again.

        Raises:
            ApiError: the cluster does not let this service account do its work.
        """
        now = self._patiently(self._shares)
        kept = self._patiently(self._kept)
        if now is None and kept.get("ending"):  # it was killed after its last step
            return int(kept["ending"])
        if now is None:
            why = shares.why_none(self._patiently(self._service))
            self._note(f"{self.service} {why}")
            return NO_CANARY
        told: object = None
        self._patiently(lambda: self._keep({"ending": None}))
        try:
            while not now.promoted and now.percent:
                time.sleep(self.every_s)
                self._unchanged(now)
                found = self._judgement(now)
                if found.outcome is Outcome.HOLD:
                    rules = now, [reason.partition(":")[0] for reason in found.reasons]
                    if rules != told:
                        told = rules
                        self._note(f"hold: {now.canary} keeps {now.percent} %", found.reasons)
                    continue
                now = self._act(now, found)
            return self._finish(now)
        except TakenOverError:
            self._note(f"somebody else changed {self.service}: the judge ends, the shares stay as they are")
            return TAKEN_OVER

    def _act(self, now: Shares, found: Judgement) -> Shares:
        """Move the share, or begin the end; returns what is declared then."""
        if found.outcome is Outcome.REVERT:
            self._note(f"revert: {now.stable} serves all requests", found.reasons)
            patch, then = now.share(0), replace(now, percent=0)
        elif found.percent == 100:
            self._note(f"promote: {now.canary} serves all requests", found.reasons)
            patch, then = now.promote(), replace(now, stable=now.canary)
        else:
            self._note(f"canary: {now.canary} gets {found.percent} %", found.reasons)
            patch, then = now.share(found.percent), replace(now, percent=found.percent)
        self._change(now, patch, then)
        return then

    def _finish(self, now: Shares) -> int:
        """End a canary whose fate is decided, so that no request is lost."""
        name, deployment = self.service, f"{self.service}-predictor"
        if now.promoted:
            self._wait(now, lambda: shares.rolled_out(self.api.get(_APPS, "deployments", deployment), now.stable))
        if now.percent:
            self._change(now, now.share(0), replace(now, percent=0))
            now = replace(now, percent=0)
        # KServe removes the pods in the moment in which it changes the routes
        self._wait(now, lambda: not any(shares.leads_to_canary(self._route(one)) for one in (name, deployment)))
        time.sleep(shares.SETTLE_S)
        outcome = PROMOTED if now.promoted else REVERTED
        self._patiently(lambda: self._keep({"ending": str(outcome)}))
        self._change(now, now.end(), None)
        self._note(f"ended: {now.stable} serves all requests of {name}")
        return outcome

    def _judgement(self, now: Shares) -> Judgement:
        try:
            canary, stable = self._pods()
            before = Step.from_json(self._kept().get("step", ""))
            releases = (now.stable, now.canary)
            if before is None or (before.releases, before.percent) != (releases, now.percent):
                step = counting.begin(releases, now.percent, canary, stable, before)
            else:
                step = counting.advance(before, canary, stable)
            self._keep({"step": step.to_json()})
        except (UnseenError, ApiError) as error:
            if isinstance(error, ApiError) and error.status == 403:
                raise
            return Judgement(Outcome.HOLD, now.percent, (f"not seen: {error}",))
        pairs, missing = self._shadow_pairs(now) if self.record else (None, ())
        found = judge(replace(counting.counts(step, canary), disagreement=pairs), now.percent, self.steps)
        found = replace(found, reasons=(*found.reasons, *missing))
        if found.outcome is not Outcome.REVERT and not any(pod.requests for pod in canary):
            return Judgement(Outcome.HOLD, now.percent, ("not seen: no pod of the canary is ready",))
        return found

    def _shadow_pairs(self, now: Shares) -> tuple[Tally, tuple[str, ...]]:
        """The pairs of the record, and why there are none, which holds the share where nothing reverts the release.

        Once there are some they are not read again, as `modelport canary --auto` does it.
        """
        if self._pairs is None:
            stable, canary = now.releases
            try:
                found = disagreement(Reader(self.record, self.service), stable, canary)
            except (OSError, ValueError) as error:
                return Tally(), (f"the record cannot be read: {error}",)
            if not found.total:
                return Tally(), (f"the record has no answers of {canary} as a shadow of {stable}: {self.record}",)
            self._pairs = found
        return self._pairs, ()

    def _pods(self) -> tuple[list[Pod], list[Pod]]:
        """The pods of the canary and of the stable release."""
        selector = f"serving.kserve.io/inferenceservice={self.service}"
        found = self.api.get(_CORE, "pods", labelSelector=selector)["items"]
        sides: tuple[list[Pod], list[Pod]] = [], []
        for pod in found:
            sides[not shares.is_canary(pod)].append(self._pod(pod))
        return sides

    def _pod(self, pod: shares.Document) -> Pod:
        uid, crashes = str(pod["metadata"]["uid"]), shares.crashes(pod)
        if not shares.is_ready(pod):
            return Pod(uid, crashes)
        address = str(pod["status"]["podIP"])
        host = f"[{address}]" if ":" in address else address
        try:
            text = httpx.get(f"http://{host}:{self.metrics_port}/metrics", timeout=_METRICS_TIMEOUT_S)
            return Pod(uid, crashes, *counting.read_metrics(text.raise_for_status().text, self.service))
        except (httpx.HTTPError, ValueError):
            return Pod(uid, crashes)

    def _change(self, now: Shares, patch: shares.Patch, then: Shares | None) -> None:
        """Apply a patch, whether or not the answer to it arrives."""

        def change() -> bool:
            if self._shares() == then:
                return True
            try:
                self.api.patch(_SERVING, "inferenceservices", self.service, patch)
            except ApiError as error:
                if error.status in _CHANGED and self._shares() not in (now, then):
                    raise TakenOverError from error
                raise
            return True

        self._patiently(change)

    def _unchanged(self, now: Shares) -> None:
        if self._patiently(self._shares) != now:
            raise TakenOverError

    def _wait(self, now: Shares, condition: Callable[[], bool]) -> None:
        while not self._patiently(condition):
            self._unchanged(now)
            time.sleep(POLL_S)

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until the API server answers, unless it refuses."""
        while True:
            try:
                return ask()
            except ApiError as error:
                if error.status and error.status < 500 and error.status not in (*_CHANGED, 429):
                    raise
                print(error, flush=True)  # noqa: T201
                time.sleep(POLL_S)

    def _shares(self) -> Shares | None:
        return Shares.of(self._service())

    def _service(self) -> shares.Document:
        return self.api.get(_SERVING, "inferenceservices", self.service)

    def _route(self, name: str) -> shares.Document:
        try:
            return self.api.get(_GATEWAY, "httproutes", name)
        except ApiError as error:
            if error.status == 404:
                return {}
            raise

    def _note(self, what: str, reasons: Sequence[str] = ()) -> None:
        """Print a decision, and add it to the log in the state."""
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {what}" + (
            ": " + "; ".join(reasons) if reasons else ""
        )
        print(line, flush=True)  # noqa: T201

        def add() -> None:
            lines = [*self._kept().get("log", "").splitlines(), line]
            self._keep({"log": "\n".join(lines[-LOG_LINES:]) + "\n"})

        self._patiently(add)

    def _kept(self) -> dict[str, str]:
        return dict(self.api.get(_CORE, "configmaps", self.state).get("data") or {})

    def _keep(self, data: dict[str, str | None]) -> None:
        self.api.patch(_CORE, "configmaps", self.state, {"data": data})
