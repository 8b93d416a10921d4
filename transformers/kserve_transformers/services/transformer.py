"""The way of every request: instances to tensors, through the chain of models, to answers."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import kserve
import numpy as np
import numpy.typing as npt

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import (
    BadAnswerError,
    BusyError,
    NotReadyError,
    ServingError,
    TooLargeError,
    TooLateError,
)
from kserve_transformers.metrics import FALLBACKS, STAGES
from kserve_transformers.predictor import Declaration, Outputs, TritonModel
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, Window
from kserve_transformers.protocol.v1 import parse_v1
from kserve_transformers.protocol.v2 import input_type
from kserve_transformers.services.parameters import Parameter
from kserve_transformers.services.predictions import Prediction
from kserve_transformers.settings import Limits

# What a service decodes an instance into, its options, and what it answers for one instance.
Decoded = TypeVar("Decoded")
Options = TypeVar("Options")
Answer = TypeVar("Answer")
Result = TypeVar("Result")

Tensors = dict[str, npt.NDArray[Any]]
# A V2 output's datatype and shape, -1 where it varies.
OutputType = tuple[str, list[int]]

_CAUSES: dict[type[ServingError], str] = {
    BadAnswerError: "error",
    BusyError: "queue full",
    NotReadyError: "not ready",
    TooLateError: "too late",
}


@dataclass(frozen=True)
class Answered(Generic[Answer]):
    """A request's answers and where they came from.

    Attributes:
        answers: one for each instance, in their order.
        model: which model of the chain answered.
        fallback: whether it was not the chain's first.
        warning: what callers must know of the answers, if anything.
        timings_ms: milliseconds by stage.
    """

    answers: Sequence[Answer]
    model: str
    fallback: bool
    warning: str | None
    timings_ms: Mapping[str, float]


@dataclass
class _Work(Generic[Decoded, Options]):
    """One request on its way; made by preprocess, handed on by KServe.

    Attributes:
        decoded: its instances.
        rows: of the input batch of the model that will be asked first, if one is known.
        prepared_for: what that model declares.
        light: whether it is worth no thread.
    """

    decoded: list[Decoded]
    rows: list[npt.NDArray[Any]]
    prepared_for: Declaration | None
    options: Options
    deadline: Deadline
    v1: bool
    light: bool
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Prepared(Generic[Decoded]):
    """One instance after a thread had it, and the seconds that preparing took there."""

    decoded: Decoded
    row: npt.NDArray[Any] | None
    prepare_s: float


class Transformer(kserve.Model, Generic[Decoded, Options, Answer]):  # type: ignore[misc]
    """Base of the services: each says how to decode, prepare and answer; the way between is here.

    Args:
        name: of the service.
        chain: the models that may answer, in the order in which they are tried.
        limits: what a request may ask for.
        threads: where decoding and all other array work is done, off the event loop.
    """

    kind: ClassVar[InstanceKind] = InstanceKind.IMAGE
    outputs: ClassVar[Mapping[str, OutputType]]
    optional_outputs: ClassVar[Mapping[str, OutputType]] = {}  # there where a parameter asks for them
    prediction: ClassVar[type[Prediction]]
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    def __init__(self, name: str, chain: Sequence[TritonModel], limits: Limits, threads: Executor) -> None:
        super().__init__(name, return_response_headers=True)
        self.chain = tuple(chain)
        self._limits = limits
        self._threads = threads
        self._decoding = 0  # requests whose instances are being decoded: each will want a place in a model's queue

    def is_light(self, instance: bytes | Window) -> bool:
        """Whether array work on it takes less time than the way to a thread and back."""
        return False

    @abstractmethod
    def parse_options(self, parameters: Mapping[str, Any]) -> Options:
        """Check a request's parameters."""

    @abstractmethod
    def decode(self, instance: bytes | Window) -> Decoded:
        """One instance to arrays; the same for all models of the chain."""

    @abstractmethod
    def prepare(self, decoded: Decoded, model: Declaration) -> npt.NDArray[Any]:
        """One decoded instance to a row of the model's input batch."""

    @abstractmethod
    def answer(self, outputs: Outputs, decoded: Decoded, options: Options, model: Declaration) -> Answer:
        """One row of the model's outputs to an answer."""

    @abstractmethod
    def predictions(self, answered: Answered[Answer]) -> Sequence[Prediction]:
        """The answers in JSON, one for each instance."""

    @abstractmethod
    def tensors(self, answered: Answered[Answer]) -> Tensors:
        """The answers as V2 outputs."""

    def get_input_types(self) -> list[dict[str, Any]]:
        """For V2's metadata."""
        return [input_type(self.kind)]

    def get_output_types(self) -> list[dict[str, Any]]:
        """For V2's metadata."""
        return [
            {"name": name, "datatype": datatype, "shape": shape} for name, (datatype, shape) in self.outputs.items()
        ]

    @property
    def unready_reason(self) -> str | None:
        """Why no model of the chain can answer; None where one can."""
        reasons = [(model.name, model.unready_reason) for model in self.chain]
        return None if any(reason is None for _, reason in reasons) else "; ".join(f"{n}: {r}" for n, r in reasons)

    async def healthy(self) -> bool:
        """Whether some model of the chain is known to give right answers."""
        return self.unready_reason is None

    def load(self) -> bool:
        """KServe calls this where `healthy` is false: the models are watched by their own tasks."""
        return False

    def validate(self, payload: Any) -> Any:
        """KServe's check of the predictor's protocol: not ours, requests are checked while they are parsed."""
        return payload

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> _Work[Decoded, Options]:
        """Wire format off, limits and options checked, instances decoded, and prepared for the first model."""
        self.check_room()
        headers = headers or {}
        deadline = Deadline.of_request(headers, self._limits.timeout_s)
        started = time.perf_counter()
        v1 = not isinstance(payload, ServiceRequest)
        request: ServiceRequest = parse_v1(self.kind, payload, headers) if v1 else payload
        if len(request.instances) > self._limits.instances:
            raise TooLargeError(f"{len(request.instances)} instances; the limit is {self._limits.instances} a request")
        options = self.parse_options(request.parameters)
        first = next((model.declaration for model, passed_over in self._standing() if passed_over is None), None)
        light = all(map(self.is_light, request.instances))
        self._decoding += 1
        try:
            done = await self._each(partial(self._decode_and_prepare, model=first), request.instances, deadline, light)
        finally:
            self._decoding -= 1
        rows = [one.row for one in done if one.row is not None]
        work: _Work[Decoded, Options] = _Work([one.decoded for one in done], rows, first, options, deadline, v1, light)
        prepare_s = max(one.prepare_s for one in done)  # instances are prepared beside each other
        self._took(work, "decode", time.perf_counter() - started - prepare_s)
        self._took(work, "preprocess", prepare_s)
        return work

    async def predict(
        self, payload: _Work[Decoded, Options], headers: dict[str, str] | None, response_headers: dict[str, str]
    ) -> tuple[_Work[Decoded, Options], TritonModel, Declaration, Tensors]:
        """Ask the first model of the chain that answers."""
        candidates = list(self._candidates())
        started = time.perf_counter()
        for position, model in enumerate(candidates, 1):
            try:
                share = payload.deadline.share(len(candidates) - position + 1)
                with model.use() as declaration:
                    rows = payload.rows
                    if declaration is not payload.prepared_for:  # a fallback, or a release that took over meanwhile
                        prepare = partial(self.prepare, model=declaration)
                        rows = await self._each(prepare, payload.decoded, share, payload.light)
                    last = position == len(candidates)
                    outputs, queued_s = await self._infer(model, declaration, rows, share, last)
            except (BadAnswerError, BusyError, NotReadyError, TooLateError) as exc:
                if position == len(candidates):
                    raise
                cause = next(cause for kind, cause in _CAUSES.items() if isinstance(exc, kind))
                FALLBACKS.labels(self.name, model.name, cause).inc()
            else:
                self._took(payload, "queue", queued_s)
                self._took(payload, "infer", time.perf_counter() - started - queued_s)
                return payload, model, declaration, outputs
        raise NotReadyError(f"{self.name} is not ready: no model of its chain can answer yet, try again shortly")

    async def postprocess(
        self,
        result: tuple[_Work[Decoded, Options], TritonModel, Declaration, Tensors],
        headers: dict[str, str] | None,
        response_headers: dict[str, str],
    ) -> dict[str, Any] | Answered[Answer]:
        """Outputs to answers; on V1 to its JSON."""
        work, model, declaration, outputs = result
        started = time.perf_counter()

        def answer(row: int) -> Answer:
            own = {name: array[row] for name, array in outputs.items()}
            return self.answer(own, work.decoded[row], work.options, declaration)

        rows = range(len(work.decoded))  # 32 pictures full of boxes take 0.4 s
        answers = await self._each(answer, rows, work.deadline, work.light or len(rows) == 1)
        self._took(work, "postprocess", time.perf_counter() - started)
        answered = Answered(answers, model.name, model is not self.chain[0], declaration.warning, work.timings_ms)
        response_headers["server-timing"] = ", ".join(f"{k};dur={v:.1f}" for k, v in work.timings_ms.items())
        if not work.v1:
            return answered
        return {"predictions": with_warning(self.predictions(answered), answered.warning)}

    def check_room(self) -> None:
        """Refuse what no model's queue will have a place for, before work is done for it.

        Raises:
            BusyError: the queues are full.
        """
        rooms = [model.room for model, passed_over in self._standing() if passed_over is None]
        if rooms and self._decoding >= max(rooms):
            raise BusyError(f"{self.name} is busy: its queue is full, try again shortly")

    def _candidates(self) -> Iterator[TritonModel]:
        """The models worth asking, in order."""
        for model, passed_over in self._standing():
            if passed_over is None:
                yield model
            else:
                FALLBACKS.labels(self.name, model.name, passed_over).inc()

    def _standing(self) -> Iterator[tuple[TritonModel, str | None]]:
        """The chain, each model with why it is passed over; untrained ones are while a trained one is ready."""
        trained_ready = any(model.ready and model.declaration.trained for model in self.chain)
        for model in self.chain:
            if not model.ready:
                yield model, "not ready"
            else:
                yield model, "untrained" if trained_ready and not model.declaration.trained else None

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

    def _decode_and_prepare(self, instance: bytes | Window, model: Declaration | None) -> _Prepared[Decoded]:
        """Both at once, so that a request waits for a thread once."""
        decoded = self.decode(instance)
        began = time.perf_counter()
        row = self.prepare(decoded, model) if model else None
        return _Prepared(decoded, row, time.perf_counter() - began)

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
            raise TooLateError("the request's deadline passed while its pictures were being worked on") from None

    def _took(self, work: _Work[Decoded, Options], stage: str, seconds: float) -> None:
        work.timings_ms[stage] = seconds * 1000
        STAGES.labels(self.name, stage).observe(seconds)


async def _all(awaitables: Sequence[Any]) -> list[Any]:
    """All results; at the first error the others are cancelled, and awaited, before it is raised."""
    if len(awaitables) == 1:
        return [await awaitables[0]]
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stacked(rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Rows as a batch, [N, ...]; a single one is not copied."""
    return np.stack(rows) if len(rows) > 1 else rows[0][np.newaxis]


def with_warning(predictions: Sequence[Prediction], warning: str | None) -> Sequence[Prediction]:
    """The predictions, each with the warning where there is one."""
    return [{**prediction, "warning": warning} for prediction in predictions] if warning else predictions


def strings(values: Sequence[str]) -> npt.NDArray[np.object_]:
    """A BYTES tensor: an object array of UTF-8 bytes, [N]."""
    array = np.empty(len(values), np.object_)
    array[:] = [value.encode() for value in values]
    return array
