"""One model in Triton: asked with a deadline, a bounded queue and a breaker, and watched by its golden sample."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from tritonclient.http.aio import InferenceServerClient

from kserve_transformers.assignment import assigned_release
from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BadAnswerError, NotReadyError, TooLateError
from kserve_transformers.metrics import BREAKER_OPEN, GOLDEN_DRIFT, IN_FLIGHT, MODEL, MODEL_READY
from kserve_transformers.predictor.asking import NotTakenError, Outputs, ask
from kserve_transformers.predictor.breaker import Breaker
from kserve_transformers.predictor.declaration import Declaration, release_of
from kserve_transformers.predictor.queue import Queue
from kserve_transformers.predictor.release import ReleasedFiles
from kserve_transformers.predictor.served import TROUBLES, Served, why

logger = logging.getLogger(__name__)

# One late answer may be a full queue's fault: a stalled model is late twice in a row, the second time with more time.
PROBE_TIMEOUTS_S = (1.5, 2.5)
# A model that answered callers well within this time is not probed. A slow model's idle time is longer, so that a stack
# that nobody calls does not keep its machine busy: probes take this share of all time, or more where that would leave
# two late ones no time within FRESH_S ...
PROBE_WHEN_SILENT_S, PROBE_SHARE, PROBE_WHEN_SILENT_AT_MOST_S = 2.0, 0.03, 5.0
# ... but its golden sample is checked at least this often: a wrong answer is not an error to Triton.
PROBE_ALWAYS_S = 30.0
# A caller in more of a hurry than this does not make a model look bad.
BLAME_AFTER_S = 2.0
# How long a request waits for a model that lost its process under it.
PROVEN_WITHIN_S = 5.0
# A release that takes over was asked so often before: its first answers take longer. It has no callers yet, so that it
# may take its time.
WARM_UPS = 3
WARM_UP_TIMEOUT_S = 10.0
# Ready means that the last good sign is no older than this.
FRESH_S = 10.0


@dataclass(frozen=True)
class Inference:
    """A model's answer.

    Attributes:
        outputs: all of them by name, each [N, ...] of the declared shape.
        queued_s: how long the batch waited for its turn, in seconds.
    """

    outputs: Outputs
    queued_s: float


class TritonModel:
    """A model as the transformers ask it.

    Args:
        client: to Triton; bound to the running event loop.
        name: the model's name in the repository.
        repository: the model repository, for golden samples; None where it cannot be seen: then the probe
            asks only whether an answer comes that has the declared form.
        queue_size: how many batches may wait or run at once.
    """

    def __init__(self, client: InferenceServerClient, name: str, repository: Path | None, queue_size: int) -> None:
        self.name = name
        self._client = client
        self._repository = repository
        self._released = ReleasedFiles(repository, name) if repository else None
        self._queue = Queue(name, queue_size)
        self._breaker = Breaker()
        self._served: Served | None = None
        self._release: str | None = None  # answers, or shall as soon as it can
        self._in_use: Counter[str | None] = Counter()
        self._refused: tuple[str | None, str] | None = None
        self._reason: str | None = "not asked yet"
        self._late_probes = 0
        self._probe_s = 0.0  # how long the last one took
        self._suspected, self._well = asyncio.Event(), asyncio.Event()
        self._good_at = self._golden_at = float("-inf")
        MODEL_READY.labels(name).set_function(lambda: float(self.ready))
        BREAKER_OPEN.labels(name).set_function(lambda: float(self._breaker.open))
        IN_FLIGHT.labels(name).set_function(lambda: float(len(self._queue)))

    @property
    def declaration(self) -> Declaration:
        """What the model declares.

        Raises:
            NotReadyError: it could not be asked yet.
        """
        if self._served is None:
            raise NotReadyError(f"model {self.name} is not ready: try again shortly")
        return self._served.declaration

    @property
    def known_declaration(self) -> Declaration | None:
        """What the model declares; None before it could be asked."""
        return self._served.declaration if self._served else None

    @contextlib.contextmanager
    def use(self) -> Iterator[Declaration]:
        """What the model declares, for one request: whoever declared it is not unloaded before the block ends.

        Raises:
            NotReadyError: it could not be asked yet.
        """
        declaration, release = self.declaration, self.release
        self._in_use[release] += 1
        try:
            yield declaration
        finally:
            self._in_use[release] -= 1

    @property
    def release(self) -> str | None:
        """The release that answers; None: the repository's own."""
        return self._served.release if self._served else self._release

    @property
    def draining(self) -> list[str | None]:
        """Releases that answered before and still have requests."""
        return [release for release, count in self._in_use.items() if count and release != self.release]

    @property
    def refused(self) -> tuple[str | None, str] | None:
        """The release that shall take over and does not, and why."""
        return self._refused

    @property
    def ready(self) -> bool:
        """Whether the model is known to give right answers at present."""
        return self.unready_reason is None

    @property
    def unready_reason(self) -> str | None:
        """Why the model is not ready; None where it is."""
        if self._reason is None and time.monotonic() - self._good_at > FRESH_S:
            return "gave no answer of late"
        return self._reason

    @property
    def room(self) -> int:
        """How many more batches it takes at present."""
        return self._queue.room

    async def infer(
        self, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline, again: bool = False
    ) -> Inference:
        """Ask the model, when it is this batch's turn.

        Args:
            declaration: the one that the batch was prepared for.
            batch: [N, ...], of the model's input dtype, 1 <= N <= max_batch_size.
            deadline: for the answer.
            again: ask once more, when the model is well again, where the first attempt was surely not carried out.

        Raises:
            BusyError: the queue is full; nothing was sent.
            NotReadyError: Triton cannot be reached, or the breaker is open.
            BadAnswerError: the model answered an error, or not what it declares.
            TooLateError: the deadline passed.
        """
        if self._breaker.open:
            raise NotReadyError(f"model {self.name} failed repeatedly and is being checked: try again shortly")
        async with self._queue.turn(deadline) as queued_s:
            if self._reason is not None:  # what happened while it waited
                raise NotReadyError(f"model {self.name} is not ready: try again shortly")
            patience_s = deadline.remaining_s()
            try:
                try:
                    outputs = await ask(self._client, declaration, batch, deadline)
                except NotTakenError:
                    if not again:
                        raise
                    self._suspect()
                    await self._proven(declaration, deadline)
                    outputs = await ask(self._client, declaration, batch, deadline)
            except (BadAnswerError, NotReadyError, TooLateError) as exc:
                if isinstance(exc, NotReadyError):
                    self._suspect()
                to_blame = not isinstance(exc, TooLateError) or patience_s >= BLAME_AFTER_S
                if to_blame and self._breaker.fail():
                    self._judge("failed repeatedly")
                raise
        self._breaker.succeed()
        self._good_at = time.monotonic()
        return Inference(outputs, queued_s)

    async def watch(self) -> None:
        """Learn the model's declaration and probe it, and let another release take over where one shall; for ever."""
        self._release = self._assigned()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_probing())
            tasks.create_task(self._keep_following())

    async def _keep_probing(self) -> None:
        while True:
            now = time.monotonic()
            patience_s = max(PROBE_WHEN_SILENT_S, min(self._probe_s / PROBE_SHARE, PROBE_WHEN_SILENT_AT_MOST_S))
            silent = now - self._good_at > patience_s
            if silent or self._reason is not None or self._suspected.is_set() or now - self._golden_at > PROBE_ALWAYS_S:
                await self._probe()
            if self._late_probes != 1:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._suspected.wait(), 0.5)

    def _suspect(self) -> None:
        """What comes back after a process was lost may be another network: nobody is answered before it is probed."""
        self._judge(self._reason or "lost a process and is being checked")
        self._suspected.set()

    async def _proven(self, declaration: Declaration, deadline: Deadline) -> None:
        """Wait until the golden sample's answer is right again, of the model that was asked.

        Raises:
            NotReadyError: it was not in time, or the model is another one now.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(PROVEN_WITHIN_S, deadline.remaining_s())):
                await self._well.wait()
        if self._reason is not None or self.known_declaration != declaration:
            raise NotReadyError(f"model {self.name} is being loaded again: try again shortly")

    def _judge(self, reason: str | None) -> None:
        """Why the model is not to be trusted from now on, or that it is."""
        self._reason = reason
        if reason is None:
            self._well.set()
        else:
            self._well.clear()

    async def _keep_following(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            release = self._assigned()
            if release == self.release:
                self._refused = None
            elif self._served is None:  # nothing answers that could go on
                self._release = release
            else:
                await self._take_over(release)

    def _assigned(self) -> str | None:
        try:
            return assigned_release(self._repository, self.name)
        except (OSError, ValueError) as exc:
            logger.warning("model %s stays as it is: %s", self.name, exc)
            return self._release

    async def _take_over(self, release: str | None) -> None:
        """Let a release answer if it gives its golden sample's answer; the present one goes on until then."""
        try:
            served = await Served.learn(self._client, self._repository, self.name, release)
            for _ in range(WARM_UPS):
                outputs = await ask(self._client, served.declaration, served.sample, Deadline.after(WARM_UP_TIMEOUT_S))
                reason = self._wrong(served, outputs)
                if reason:
                    break
        except TROUBLES as exc:
            reason = why(exc)
        if reason is None:
            self._adopt(served)
            self._found_well()
            self._refused = None
            self._judge(None)
            logger.info("model %s is release %s now", self.name, release or "initial")
        elif (release, reason) != self._refused:
            self._refused = (release, reason)
            logger.warning("model %s stays as it is, release %s %s", self.name, release or "initial", reason)

    async def _probe(self) -> None:
        started, before = time.monotonic(), self._served
        self._suspected.clear()
        try:
            reason = await self._golden_answer()
        except TooLateError as exc:
            self._late_probes += 1
            # Under load a probe may wait in the queue while callers get their answers.
            excused = self._good_at > started or self._late_probes < len(PROBE_TIMEOUTS_S)
            reason = self._reason if excused else str(exc)
        except TROUBLES as exc:
            reason = why(exc)
        if before is not None and before is not self._served:
            return  # another release took over meanwhile: this says nothing of it
        if reason is not None:
            # Triton may come back with another version: learn it anew.
            self._served = self._served if self._reason is None else None
        if reason is None and self._suspected.is_set():
            reason = self._reason  # a process was lost while it was probed
        if reason != self._reason:
            logger.warning("model %s is %s", self.name, f"not ready: {reason}" if reason else "ready")
        self._judge(reason)

    async def _golden_answer(self) -> str | None:
        """Ask for the golden sample; returns what is wrong with the answer, or with the model's files."""
        if self._served is None and self._released is not None and self._release is None:
            complaint = await asyncio.to_thread(self._released.complaint)
            if complaint is not None:
                return complaint
        served = self._served or await Served.learn(self._client, self._repository, self.name, self._release)
        if self._served is None:
            self._adopt(served)
        patience_s = PROBE_TIMEOUTS_S[min(self._late_probes, len(PROBE_TIMEOUTS_S) - 1)]
        began = time.monotonic()
        outputs = await ask(self._client, served.declaration, served.sample, Deadline.after(patience_s))
        self._probe_s = time.monotonic() - began
        wrong = self._wrong(served, outputs)
        if wrong is None and served is self._served:
            self._found_well()
        return wrong

    def _adopt(self, served: Served) -> None:
        self._served, self._release = served, served.release
        weights = "trained" if served.declaration.trained else "untrained"
        release = served.release or release_of(self._repository)
        MODEL.labels(self.name).info({"version": served.declaration.version, "weights": weights, "release": release})

    def _wrong(self, served: Served, outputs: Outputs) -> str | None:
        drift = served.drift(outputs)
        if served is self._served and served.golden is not None:
            GOLDEN_DRIFT.labels(self.name).set(drift.share)
        return None if drift.reason is None else f"the golden sample's answer is wrong: {drift.reason}"

    def _found_well(self) -> None:
        self._golden_at = self._good_at = time.monotonic()
        self._late_probes = 0
        self._breaker.succeed()
