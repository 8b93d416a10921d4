"""A model as the tasks use it: requests, probes and releases around one state machine of its health."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
from tritonclient.http.aio import InferenceServerClient

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BadAnswerError, NotReadyError, TooLateError
from kserve_transformers.metrics import BREAKER_OPEN, GOLDEN_DRIFT, IN_FLIGHT, MODEL, MODEL_READY
from kserve_transformers.predictor.declaration import Declaration
from kserve_transformers.predictor.follower import ReleaseFollower
from kserve_transformers.predictor.limits import DEFAULT_LIMITS, PredictorLimits
from kserve_transformers.predictor.model_health import Condition, Finding, ModelHealth, Observation
from kserve_transformers.predictor.pressure import PressureMeter
from kserve_transformers.predictor.queue import Queue
from kserve_transformers.predictor.release import RequiredSignature, release_of
from kserve_transformers.predictor.served import PROBE_ERRORS, Served, observed
from kserve_transformers.predictor.transport import NotExecutedError, Outputs, Transport
from kserve_transformers.tracing import span

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inference:
    """A model's answer.

    Outputs are by name, each [N, ...] of the declared shape; `queued_s` is how long the batch waited for its turn.
    """

    outputs: Outputs
    queued_s: float


class TritonModel:
    """One model: its queue, its health, and its release.

    `precision` is that of the model's last golden check, int8 or fp32; None where it has no int8 network.

    Args:
        client: to Triton; bound to the running event loop.
        name: the model's name in the repository.
        repository: the model repository, for golden samples; None where it cannot be read: then a probe checks only
            that an answer of the declared form comes.
        queue_size: how many batches may wait or run at once.
        follow: whether a supervisor runs beside this server: it says which release is assigned, and watches processes.
        limits: when to probe and whom to trust.
        required: the signature that releases must have; None: they need none.
    """

    def __init__(
        self,
        client: InferenceServerClient,
        name: str,
        repository: Path | None,
        queue_size: int,
        follow: bool = False,
        limits: PredictorLimits = DEFAULT_LIMITS,
        required: RequiredSignature | None = None,
    ) -> None:
        self.name = name
        self._repository = repository
        self._limits = limits
        self._transport = Transport(client)
        self._health: ModelHealth[Served] = ModelHealth(limits, watched=follow)
        self._queue = Queue(name, queue_size, limits)
        self._follow = follow
        self._follower = ReleaseFollower(
            name, repository, self._transport, self._health, limits, self._changed, required
        )
        self._version, self._release = "unknown", "none"
        self.precision: Literal["int8", "fp32"] | None = None
        self._in_use: Counter[str | None] = Counter()
        # to log and metrics
        self._known: tuple[str | None, Served | None, str | None] = (self._health.refusal, None, None)
        self._admitting, self._probe_sooner = asyncio.Event(), asyncio.Event()
        MODEL_READY.labels(name).set_function(lambda: float(self.ready))
        BREAKER_OPEN.labels(name).set_function(lambda: float(self._health.breaker_open))
        IN_FLIGHT.labels(name).set_function(lambda: float(len(self._queue)))

    @property
    def declaration(self) -> Declaration:
        """What the model declares.

        Raises:
            NotReadyError: it is not known yet.
        """
        if self.known_declaration is None:
            raise NotReadyError(f"model {self.name} is not ready: try again shortly")
        return self.known_declaration

    @property
    def known_declaration(self) -> Declaration | None:
        """What the model declares; None while it is not known."""
        return self._health.serving.declaration if self._health.serving else None

    @contextlib.contextmanager
    def use(self) -> Iterator[Declaration]:
        """What the model declares, for one request: its release counts as in use until the block ends.

        Raises:
            NotReadyError: it is not known yet.
        """
        declaration, release = self.declaration, self.release
        self._in_use[release] += 1
        try:
            yield declaration
        finally:
            self._in_use[release] -= 1

    @property
    def release(self) -> str | None:
        """The release that serves, or is to; None: the repository's own model."""
        return self._health.serving.release if self._health.serving else self._follower.assigned

    @property
    def release_name(self) -> str:
        """The release as metrics and records name it: release.json's name for the repository's own model."""
        return self.release or release_of(self._repository)

    @property
    def draining(self) -> list[str | None]:
        """Releases that served before and still have requests."""
        return [release for release, count in self._in_use.items() if count and release != self.release]

    @property
    def refused(self) -> tuple[str | None, str] | None:
        """The release that was to take over and did not, and why."""
        return self._follower.refused

    @property
    def described(self) -> Mapping[str, str]:
        """The model and what serves it, as spans name them."""
        return {"modelport.model": self.name, "modelport.version": self._version, "modelport.release": self._release}

    @property
    def ready(self) -> bool:
        """Whether the model is known to give right answers at present."""
        return self.unready_reason is None

    @property
    def unready_reason(self) -> str | None:
        """Why the model is not ready; None where it is."""
        return self._health.unready_reason

    @property
    def condition(self) -> Condition:
        """What is known of the model."""
        return self._health.condition

    def room_within(self, seconds: float) -> int:
        """How many more batches its queue takes at present that are to be answered within so many seconds."""
        return self._queue.room_within(seconds)

    async def infer(
        self, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline, retry: bool = False
    ) -> Inference:
        """Infer when it is this batch's turn.

        Args:
            declaration: the one that the batch was prepared for.
            batch: [N, ...], of the model's input dtype, 1 <= N <= max_batch_size.
            deadline: for the answer.
            retry: infer once more, after the model has recovered, if the first attempt was certainly not carried out.

        Raises:
            BusyError: the queue is full, or too long for the deadline; nothing was sent.
            NotReadyError: Triton cannot be reached, or the model is not ready.
            BadAnswerError: the model answered an error, or not what it declares.
            TooLateError: the deadline passed.
        """
        self._check_admission()
        async with contextlib.AsyncExitStack() as stack:
            with span("queue"):
                queued_s = await stack.enter_async_context(self._queue.turn(deadline))
            self._check_admission()
            try:
                outputs = await self._infer_once(declaration, batch, deadline)
            except NotExecutedError:
                if not retry:
                    raise
                await self._recovery(declaration, deadline)
                outputs = await self._infer_once(declaration, batch, deadline)
        return Inference(outputs, queued_s)

    async def watch(self) -> None:
        """Probe the model when that is due, and follow its release if `follow` was set, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._follow:
                self._follower.read()
                tasks.create_task(self._follower.follow())
            tasks.create_task(self._keep_probing())

    def _check_admission(self) -> None:
        if self._health.breaker_open:
            raise NotReadyError(f"model {self.name} failed its golden check: try again shortly")
        if self._health.refusal is not None:
            raise NotReadyError(f"model {self.name} is not ready: try again shortly")

    async def _infer_once(self, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline) -> Outputs:
        timeout_s = deadline.remaining_s()
        seen: Observation | None = None
        self._health.request_began()
        try:
            with span("infer", {**self.described, "modelport.batch_size": len(batch)}, client=True):
                outputs = await self._transport.infer(declaration, batch, deadline)
            seen = Observation(Finding.RIGHT)
        except (BadAnswerError, NotReadyError, TooLateError) as exc:
            seen = observed(exc, timeout_s)
            raise
        finally:
            # A request to a previous release says nothing about this one.
            self._health.request_ended(seen if self.known_declaration == declaration else None)
            if seen is not None and seen.finding is not Finding.RIGHT:
                self._probe_sooner.set()
            self._changed()
        return outputs

    async def _recovery(self, declaration: Declaration, deadline: Deadline) -> None:
        """Wait until a probe has found the model's answer right.

        Raises:
            NotReadyError: that took too long, or the model has another declaration now.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._limits.recovery_s, deadline.remaining_s())):
                await self._admitting.wait()
        if self._health.refusal is not None or self.known_declaration != declaration:
            raise NotReadyError(f"model {self.name} is being loaded again: try again shortly")

    async def _keep_probing(self) -> None:
        while True:
            # A request that begins makes the next probe due sooner, and is not slowed down by saying so here.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._health.probe_due_in_s(), self._limits.owed_s / 2)):
                    await self._probe_sooner.wait()
            self._probe_sooner.clear()
            if self._health.probe_due_in_s() <= 0:
                timeout_s = self._health.start_probe()
                self._health.probe_ended(await self._probe(timeout_s))
                self._changed()

    async def _probe(self, timeout_s: float) -> Observation:
        """Check the golden sample's answer; where nothing serves, first the model's files and what it declares."""
        meter = PressureMeter()
        try:
            serving = self._health.serving
            if serving is None:
                serving = self._health.learned(await self._follower.learn())
                self._changed()
            began = time.monotonic()
            drift = await serving.golden_check(self._transport, timeout_s)
        except TooLateError as exc:
            return dataclasses.replace(observed(exc, timeout_s), pressure=meter.share())
        except PROBE_ERRORS as exc:
            return observed(exc)
        if serving is self._health.serving and serving.golden is not None:
            GOLDEN_DRIFT.labels(self.name).set(drift.share)
            self.precision = drift.precision
        if drift.reason is not None:
            return Observation(Finding.WRONG, drift.reason)
        return Observation(Finding.RIGHT, took_s=time.monotonic() - began)

    def _changed(self) -> None:
        """After an event: update the log, metrics, requests that wait for recovery, and the prober."""
        known_refusal, known_serving, known_precision = self._known
        self._known = refusal, serving, precision = self._health.refusal, self._health.serving, self.precision
        if refusal is None:
            self._admitting.set()
        else:
            self._admitting.clear()
        if refusal != known_refusal:
            self._probe_sooner.set()
            logger.warning("model %s is %s", self.name, f"not ready: {refusal}" if refusal else "ready")
        if serving is not None and (serving is not known_serving or precision != known_precision):
            weights = "trained" if serving.declaration.trained else "untrained"
            self._version = serving.declaration.version
            self._release = self.release_name
            told = {"version": self._version, "weights": weights, "release": self._release}
            MODEL.labels(self.name).info({**told, **({"precision": precision} if precision else {})})
