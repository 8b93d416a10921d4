"""One model in Triton: asked with a deadline, a bounded queue and a breaker, and watched by its golden sample."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
from tritonclient.http import InferInput, InferRequestedOutput, InferResult
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BadAnswerError, BusyError, NotReadyError, ServingError, TooLateError
from kserve_transformers.metrics import BREAKER_OPEN, GOLDEN_DRIFT, IN_FLIGHT, MODEL, MODEL_READY
from kserve_transformers.observe import forwarded_headers
from kserve_transformers.predictor.breaker import Breaker
from kserve_transformers.predictor.declaration import Declaration, learn, release_of
from kserve_transformers.predictor.golden import GoldenSample
from kserve_transformers.predictor.queue import Queue
from kserve_transformers.predictor.release import ReleasedFiles

logger = logging.getLogger(__name__)

Outputs = Mapping[str, npt.NDArray[Any]]

# One late answer may be a full queue's fault: a stalled model is late twice in a row, the second time with more time.
PROBE_TIMEOUTS_S = (1.5, 2.5)
# The first inference of a model that was just loaded takes longer.
LEARN_TIMEOUT_S = 20.0
# A model that answered callers well within this time is not probed ...
PROBE_WHEN_SILENT_S = 2.0
# ... but its golden sample is checked at least this often: a wrong answer is not an error to Triton.
PROBE_ALWAYS_S = 30.0
# A caller in more of a hurry than this does not make a model look bad.
BLAME_AFTER_S = 2.0
# Ready means that the last good sign is no older than this.
FRESH_S = 10.0


class _NotTakenError(NotReadyError):
    """The request was surely not carried out: nobody took it, or the process that had it is dead."""


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
        self._declaration: Declaration | None = None
        self._golden: GoldenSample | None = None
        self._reason: str | None = "not asked yet"
        self._late_probes = 0
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
        if self._declaration is None:
            raise NotReadyError(f"model {self.name} is not ready: try again shortly")
        return self._declaration

    @property
    def known_declaration(self) -> Declaration | None:
        """What the model declares; None before it could be asked."""
        return self._declaration

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

    async def infer(self, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline) -> Inference:
        """Ask the model, when it is this batch's turn; once more where the first attempt was surely not carried out.

        Args:
            declaration: the one that the batch was prepared for.
            batch: [N, ...], of the model's input dtype, 1 <= N <= max_batch_size.
            deadline: for the answer.

        Raises:
            BusyError: the queue is full; nothing was sent.
            NotReadyError: Triton cannot be reached, or the breaker is open.
            BadAnswerError: the model answered an error, or not what it declares.
            TooLateError: the deadline passed.
        """
        if self._breaker.open:
            raise NotReadyError(f"model {self.name} failed repeatedly and is being checked: try again shortly")
        async with self._queue.turn(deadline) as queued_s:
            patience_s = deadline.remaining_s()
            try:
                try:
                    outputs = await self._ask(declaration, batch, deadline)
                except _NotTakenError:
                    outputs = await self._ask(declaration, batch, deadline)
            except (BadAnswerError, NotReadyError, TooLateError) as exc:
                to_blame = not isinstance(exc, TooLateError) or patience_s >= BLAME_AFTER_S
                if to_blame and self._breaker.fail():
                    self._reason = "failed repeatedly"
                raise
        self._breaker.succeed()
        self._good_at = time.monotonic()
        return Inference(outputs, queued_s)

    async def watch(self) -> None:
        """Learn the model's declaration and probe it, for ever."""
        while True:
            now = time.monotonic()
            silent = now - self._good_at > PROBE_WHEN_SILENT_S
            if silent or self._reason is not None or now - self._golden_at > PROBE_ALWAYS_S:
                await self._probe()
            await asyncio.sleep(0.0 if self._late_probes == 1 else 0.5)

    async def _probe(self) -> None:
        started = time.monotonic()
        try:
            reason = await self._golden_answer()
        except TooLateError as exc:
            self._late_probes += 1
            # Under load a probe may wait in the queue while callers get their answers.
            excused = self._good_at > started or self._late_probes < len(PROBE_TIMEOUTS_S)
            reason = self._reason if excused else str(exc)
        except ServingError as exc:
            reason = str(exc)
        except (InferenceServerException, aiohttp.ClientError, TimeoutError):
            reason = "does not answer in Triton"
        except (ValueError, KeyError, OSError) as exc:
            reason = f"cannot be checked: {exc}"
        if reason is not None:
            # Triton may come back with another version: learn it anew.
            self._declaration = self._declaration if self._reason is None else None
        if reason != self._reason:
            logger.warning("model %s is %s", self.name, f"not ready: {reason}" if reason else "ready")
        self._reason = reason

    async def _golden_answer(self) -> str | None:
        """Ask for the golden sample; returns what is wrong with the answer, or with the model's files."""
        if self._declaration is None and self._released is not None:
            complaint = await asyncio.to_thread(self._released.complaint)
            if complaint is not None:
                return complaint
        async with asyncio.timeout(LEARN_TIMEOUT_S):
            if self._declaration is None:
                declaration = await learn(self._client, self.name)
                self._golden = (
                    GoldenSample.load(self._repository / self.name, declaration.input) if self._repository else None
                )
                self._declaration = declaration
                told = {"version": declaration.version, "weights": "trained" if declaration.trained else "untrained"}
                MODEL.labels(self.name).info(told | {"release": release_of(self._repository)})
        spec = self._declaration.input
        batch = self._golden.batch if self._golden else np.zeros((1, *spec.shape), spec.dtype)
        patience_s = PROBE_TIMEOUTS_S[min(self._late_probes, len(PROBE_TIMEOUTS_S) - 1)]
        outputs = await self._ask(self._declaration, batch, Deadline.after(patience_s))
        if self._golden is not None:
            drift = self._golden.drift(outputs)
            GOLDEN_DRIFT.labels(self.name).set(drift.share)
            if drift.reason is not None:
                return f"the golden sample's answer is wrong: {drift.reason}"
        self._golden_at = self._good_at = time.monotonic()
        self._late_probes = 0
        self._breaker.succeed()
        return None

    async def _ask(self, declaration: Declaration, batch: npt.NDArray[Any], deadline: Deadline) -> Outputs:
        tensor = InferInput(declaration.input.name, list(batch.shape), declaration.input.datatype)
        tensor.set_data_from_numpy(batch)
        wanted = [InferRequestedOutput(name) for name in declaration.outputs]
        remaining_s = deadline.remaining_s()
        try:
            async with asyncio.timeout(remaining_s):
                result = await self._client.infer(
                    declaration.name,
                    [tensor],
                    outputs=wanted,
                    timeout=int(remaining_s * 1_000_000),
                    headers=forwarded_headers(),
                )
        except TimeoutError:
            raise TooLateError(f"model {self.name} did not answer within {remaining_s:.1f} s") from None
        except InferenceServerException as exc:
            raise self._refusal(exc) from exc
        except aiohttp.ClientError as exc:
            kind = _NotTakenError if isinstance(exc, aiohttp.ClientConnectorError) else NotReadyError
            raise kind(f"model {self.name} cannot be reached: try again shortly") from exc
        return self._checked(result, declaration, len(batch))

    def _refusal(self, exc: InferenceServerException) -> ServingError:
        """Triton's error in our terms; its text stays in the log."""
        message = str(exc.message() or "")
        if "maximum queue size" in message.lower():
            return BusyError(f"model {self.name} is busy: its queue in Triton is full")
        if "timeout" in message.lower() and "expired" in message.lower():
            return TooLateError(f"model {self.name} did not get to the request before its deadline")
        if "is not healthy" in message:
            return _NotTakenError(f"model {self.name} lost its process: try again shortly")
        logger.warning("model %s answered %s: %s", self.name, exc.status(), message[:300])
        return BadAnswerError(f"model {self.name} answered an error: the request was not carried out")

    def _checked(self, result: InferResult, declaration: Declaration, count: int) -> Outputs:
        outputs = {}
        for spec in declaration.outputs.values():
            array = result.as_numpy(spec.name)
            fits = array is not None and array.dtype == spec.dtype and len(array) == count
            shaped = fits and array.ndim == 1 + len(spec.shape)
            if not shaped or any(d not in (-1, s) for d, s in zip(spec.shape, array.shape[1:], strict=True)):
                raise BadAnswerError(f"model {self.name} answered output {spec.name} in another form than it declares")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise BadAnswerError(f"model {self.name} answered numbers that are not finite")
            outputs[spec.name] = array
        return outputs
