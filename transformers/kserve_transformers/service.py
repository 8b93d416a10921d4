"""Carries out every request: instances to tensors, through the chain of models, to answers."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from kserve_transformers.arrays.decoding import refuse_formats
from kserve_transformers.chain import Chain
from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import (
    BadAnswerError,
    BusyError,
    NotFoundError,
    NotReadyError,
    ServingError,
    TooLargeError,
    TooLateError,
)
from kserve_transformers.metrics import REFUSED_PIXELS, STAGES
from kserve_transformers.observe import kept_exchange
from kserve_transformers.predictor import Declaration, TritonModel
from kserve_transformers.protocol.requests import ServiceRequest, Window
from kserve_transformers.record.statistics import measure
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.settings import Limits
from kserve_transformers.tasks.task import Answered, Prepared, Task, Tensors
from kserve_transformers.tracing import note, span

Result = TypeVar("Result")

_CAUSES: dict[type[ServingError], str] = {
    BadAnswerError: "error",
    BusyError: "queue full",
    NotReadyError: "not ready",
    TooLateError: "too late",
}


@dataclass
class Work:
    """One request on its way."""

    decoded: list[Any]  # its instances
    prepared: list[Prepared]  # for the first model of the chain that is ready; empty where none is
    prepared_for: Declaration | None  # what that model declares
    options: Mapping[str, Any]
    deadline: Deadline
    light: bool  # whether its array work is done without a thread
    timings_ms: dict[str, float] = field(default_factory=dict)  # milliseconds by stage


@dataclass(frozen=True)
class Inferred:
    """A request whose model has answered. The request is prepared for this model; outputs are by name, [N, ...]."""

    work: Work
    model: TritonModel
    declaration: Declaration
    outputs: Tensors


@dataclass(frozen=True)
class _Decoded:
    """One instance after a thread had it, the seconds that preparing took there, and what a record says of it."""

    decoded: Any
    prepared: Prepared | None
    prepare_s: float
    measured: Mapping[str, Any]


class Service:
    """A declared service: its task behind its chain of models.

    Args:
        spec: the declaration.
        task: of that declaration: decodes, prepares and answers.
        models: that may answer, in the order in which they are tried.
        limits: of a request.
        threads: where decoding and all other array work is done, off the event loop.
    """

    def __init__(
        self, spec: ServiceSpec, task: Task[Any, Any], models: Sequence[TritonModel], limits: Limits, threads: Executor
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self.task = task
        self.chain = Chain(spec.name, models, task.misfit)
        self._limits = limits
        self._threads = threads
        self._decoding = 0  # requests whose instances are being decoded: each will need a place in a model's queue

    @property
    def max_instances(self) -> int:
        """How many instances a request may have."""
        return self._limits.instances

    @property
    def unready_reason(self) -> str | None:
        """Why no model of the chain can answer; None where one can."""
        return self.chain.unready_reason

    def deadline(self, headers: Mapping[str, str], timeout_s: float | None = None) -> Deadline:
        """The deadline of a request, from its headers and its own timeout.

        Raises:
            BadRequestError: the header is not a positive number of milliseconds.
        """
        return Deadline.of_request(headers, self._limits.timeout_s, timeout_s)

    def check_room(self, deadline: Deadline) -> None:
        """Refuse a request that no model can answer in time, before work is done for it.

        Raises:
            BusyError: the queues are full, or too long for the deadline.
            TooLateError: the deadline has passed.
        """
        if not self.chain.has_room(self._decoding, deadline.remaining_s()):
            raise BusyError(f"{self.name} is busy: more requests wait than it can answer in time, try again shortly")

    async def preprocess(self, request: ServiceRequest, headers: Mapping[str, str]) -> Work:
        """Check limits and options, decode the instances, and prepare them for the first model.

        Args:
            request: as every protocol is parsed into it.
            headers: of the request, names in lower case: the deadline is there.

        Raises:
            ServingError: the request cannot be carried out.
        """
        deadline = self.deadline(headers, request.timeout_s)
        self.check_room(deadline)
        started = time.perf_counter()
        if len(request.instances) > self._limits.instances:
            raise TooLargeError(f"{len(request.instances)} instances; the limit is {self._limits.instances} a request")
        options = self.task.options(request.parameters)
        kept = kept_exchange()
        if kept is not None:
            kept.instances, kept.parameters = request.instances, request.parameters
        first = self.chain.first
        light = all(map(self.task.is_light, request.instances))
        self._decoding += 1
        try:
            with span("decode", {"modelport.instances": len(request.instances)}):
                decode = partial(
                    self._decode_and_prepare, of=len(request.instances), model=first, measured=kept is not None
                )
                done = await self._each(decode, list(enumerate(request.instances)), deadline, light)
        finally:
            self._decoding -= 1
        if kept is not None:
            kept.measured = [one.measured for one in done]
        prepared = [one.prepared for one in done if one.prepared is not None]
        work = Work([one.decoded for one in done], prepared, first, options, deadline, light)
        prepare_s = max(one.prepare_s for one in done)  # instances are prepared beside each other
        self._took(work, "decode", time.perf_counter() - started - prepare_s)
        self._took(work, "preprocess", prepare_s)
        return work

    async def predict(self, work: Work) -> Inferred:
        """Infer with the first model of the chain that answers.

        Raises:
            ServingError: none did; the error is the last one's.
        """
        candidates = self.chain.candidates()
        kept = kept_exchange()
        started = time.perf_counter()
        for position, model in enumerate(candidates, 1):
            last = position == len(candidates)
            try:
                share = work.deadline.share(len(candidates) - position + 1)
                attempt: dict[str, str | int] = {**model.described, "modelport.attempt": position}
                with model.use() as declaration, span("attempt", attempt):
                    if kept is not None:
                        kept.model, kept.release, kept.served = model.name, model.release_name, declaration.name
                    if declaration is not work.prepared_for:  # a fallback, or a release that took over meanwhile
                        prepare = partial(self.task.prepare, model=declaration)
                        work.prepared = await self._each(prepare, work.decoded, share, work.light)
                        work.prepared_for = declaration
                    rows = [one.row for one in work.prepared]
                    outputs, queued_s = await self._infer(model, declaration, rows, share, last)
            except (BadAnswerError, BusyError, NotReadyError, TooLateError) as exc:
                if last:
                    raise
                self.chain.count_fallback(model, next(c for kind, c in _CAUSES.items() if isinstance(exc, kind)))
            else:
                self._took(work, "queue", queued_s)
                self._took(work, "infer", time.perf_counter() - started - queued_s)
                note({"modelport.model": model.name, "modelport.fallback": model is not self.chain.models[0]})
                return Inferred(work, model, declaration, outputs)
        raise NotReadyError(f"{self.name} is not ready: no model of its chain can answer yet, try again shortly")

    async def postprocess(self, inferred: Inferred) -> Answered[Any]:
        """Turn outputs into answers."""
        work = inferred.work
        started = time.perf_counter()

        def answer(row: int) -> Any:
            own = {name: array[row] for name, array in inferred.outputs.items()}
            return self.task.answer(own, work.prepared[row].context, work.options, inferred.declaration)

        rows = range(len(work.decoded))  # many images full of boxes would hold the event loop
        with span("postprocess"):
            answers = await self._each(answer, rows, work.deadline, work.light or len(rows) == 1)
        self._took(work, "postprocess", time.perf_counter() - started)
        fallback = inferred.model is not self.chain.models[0]
        answered = Answered(answers, inferred.model.name, fallback, inferred.declaration.warning, work.timings_ms)
        kept = kept_exchange()
        if kept is not None:
            kept.predictions = partial(self.task.predictions, answered)
        return answered

    async def _infer(
        self, model: TritonModel, declaration: Declaration, rows: list[npt.NDArray[Any]], deadline: Deadline, last: bool
    ) -> tuple[Tensors, float]:
        """Outputs of all rows, and the seconds that the last of their batches waited for its turn."""
        size = declaration.max_batch_size
        batches = [_stacked(rows[at : at + size]) for at in range(0, len(rows), size)]
        parts = await _all([model.infer(declaration, batch, deadline, retry=last) for batch in batches])
        queued_s = max(part.queued_s for part in parts)
        if len(parts) == 1:
            return dict(parts[0].outputs), queued_s
        return {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs}, queued_s

    def _decode_and_prepare(
        self, numbered: tuple[int, bytes | Window], of: int, model: Declaration | None, measured: bool
    ) -> _Decoded:
        """Both at once, so that a request waits for a thread once; of several instances, an error names the one."""
        number, instance = numbered
        try:
            if isinstance(instance, bytes):
                refuse_formats(instance, self._limits.refused_formats)
            decoded = self.task.decode(instance, self.chain.ready_declarations, self._limits.pixels)
            began = time.perf_counter()
            prepared = self.task.prepare(decoded, model) if model else None
        except ServingError as error:
            if isinstance(error, TooLargeError):
                REFUSED_PIXELS.labels(self.name).inc(error.pixels)
            if of > 1:
                error.args = (f"instance {number} of 0 to {of - 1}: {error}",)
            raise
        prepare_s = time.perf_counter() - began
        return _Decoded(decoded, prepared, prepare_s, measure(decoded) if measured else {})

    async def _each(
        self, function: Callable[[Any], Result], items: Sequence[Any], deadline: Deadline, light: bool
    ) -> list[Result]:
        """The function of all items: here where that is light, else in threads."""
        if light:
            return [function(item) for item in items]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                return await _all([loop.run_in_executor(self._threads, function, item) for item in items])
        except TimeoutError:
            raise TooLateError("the request's deadline passed while its images were processed") from None

    def _took(self, work: Work, stage: str, seconds: float) -> None:
        work.timings_ms[stage] = seconds * 1000
        STAGES.labels(self.name, stage).observe(seconds)


Services = Mapping[str, Service]


def find_service(services: Services, name: str) -> Service:
    """The service of a name.

    Raises:
        NotFoundError: this server does not host it.
    """
    try:
        return services[name]
    except KeyError:
        raise NotFoundError(f"no such service here: there are {', '.join(services)}") from None


async def _all(awaitables: Sequence[Any]) -> list[Any]:
    """All results; at the first error the others are cancelled, and awaited, before it is raised.

    No frame of the error refers to what raised it: such a cycle keeps images until the garbage collector finds it.
    """
    if len(awaitables) == 1:
        try:
            return [await awaitables[0]]
        finally:
            del awaitables
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await _cancel(tasks)
        del awaitables, tasks


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _stacked(rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Rows as a batch, [N, ...]; a single one is not copied."""
    return np.stack(rows) if len(rows) > 1 else rows[0][np.newaxis]
