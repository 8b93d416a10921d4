"""What a task is: how instances become a model's input and its outputs become answers, in every protocol's form.

A task is one class in one file of this package; `kserve_transformers.tasks.TASKS` lists them. Nothing here knows of
HTTP, of KServe or of the way to a model: `kserve_transformers.service` runs a task behind a chain of models.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, NotRequired, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import TypedDict

from kserve_transformers.predictor import Declaration, Outputs
from kserve_transformers.predictor.declaration import TensorSpec
from kserve_transformers.protocol.requests import InstanceKind, Window
from kserve_transformers.protocol.v2 import input_type
from kserve_transformers.tasks.parameters import Parameter, check_parameters

# What a task decodes an instance into, and what it answers for one instance.
Decoded = TypeVar("Decoded")
Answer = TypeVar("Answer")

Tensors = dict[str, npt.NDArray[Any]]
# A V2 output's datatype and shape, -1 where it varies.
OutputType = tuple[str, list[int]]
Share = Annotated[float, Field(ge=0, le=1)]

_EXAMPLES = Path(__file__).parent / "examples"


class Prediction(TypedDict):
    """What the JSON answers of all tasks have in common."""

    warning: NotRequired[Annotated[str, Field(description="What callers must know, such as untrained weights.")]]


@dataclass(frozen=True)
class Answered(Generic[Answer]):
    """A request's answers and where they came from."""

    answers: Sequence[Answer]  # one for each instance, in their order
    model: str  # which model of the chain answered
    fallback: bool  # whether it was not the chain's first
    warning: str | None  # what callers must know of the answers, if anything
    timings_ms: Mapping[str, float]  # milliseconds by stage

    @property
    def parameters(self) -> dict[str, str]:
        """What V2 answers say beside their outputs."""
        return {"warning": self.warning} if self.warning else {}


@dataclass(frozen=True)
class Prepared:
    """One instance as a model takes it.

    `row` is of the model's input batch; `context` what `Task.answer` must know of how it was made, such as a letterbox.
    """

    row: npt.NDArray[Any]
    context: Any = None


@dataclass(frozen=True)
class Presentation(Generic[Answer]):
    """How a task's answers are worded, and the legacy route whose users read that wording."""

    route: str  # the legacy route, below /SERVICE
    prediction: type[Prediction]  # the type of one instance's answer in JSON
    predictions: Callable[[Answered[Answer]], Sequence[Prediction]]  # makes them, one for each instance
    outputs: tuple[str, ...] | None = None  # the V2 outputs that are answered; None: all that the task has
    # what the legacy route answers instead of `prediction`: the request's `id` besides
    legacy_answer: type[Prediction] | None = None
    welcome: str | None = None  # what the older project's `GET /` said

    @property
    def repeats_id(self) -> bool:
        """Whether the legacy route takes an `id` and repeats it."""
        return self.legacy_answer is not None


class Task(ABC, Generic[Decoded, Answer]):
    """Base of all tasks.

    Class attributes, which the routes, the API document, the metadata and the sample requests are made from:
        kind: of an instance.
        outputs: V2 outputs by name.
        optional_outputs: V2 outputs that a parameter requests.
        parameters: options that a request may name.
        model_input: datatype and shape, without the batch dimension, of the input that a model must have.
        model_outputs: likewise of the outputs that the task reads, by name; None stands for a model's only output.
        presentations: by name; None is the task's own.
        example: file of an instance, in this package's folder `examples`.
        takes_photos: whether any photo is a fair instance.

    Args:
        name: of the service, for error messages.
        presentation: a key of `presentations`.
        defaults: of options that a request does not name, where they differ from the parameters' own defaults.
    """

    kind: ClassVar[InstanceKind] = InstanceKind.IMAGE
    outputs: ClassVar[Mapping[str, OutputType]]
    optional_outputs: ClassVar[Mapping[str, OutputType]] = {}
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    model_input: ClassVar[OutputType]
    model_outputs: ClassVar[Mapping[str | None, OutputType]]
    presentations: ClassVar[Mapping[str | None, Presentation[Any]]]
    example: ClassVar[str]
    takes_photos: ClassVar[bool] = False

    def __init__(self, name: str, presentation: str | None = None, defaults: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.presentation: Presentation[Answer] = self.presentations[presentation]
        own = {key: parameter.default for key, parameter in self.parameters.items()}
        self.defaults: Mapping[str, Any] = own | {k: v for k, v in (defaults or {}).items() if k in own}

    @abstractmethod
    def decode(self, instance: Any, models: Sequence[Declaration], max_pixels: int) -> Decoded:
        """Turn one instance into arrays, once for all models of the chain.

        Args:
            instance: an encoded image (bytes) or a window (float32 [L]), by the task's kind.
            models: declarations of the models that may answer: an image is reduced to what they need.
            max_pixels: largest width times height of an image.

        Raises:
            ServingError: the instance cannot be read, or is too large.
        """

    @abstractmethod
    def prepare(self, decoded: Decoded, model: Declaration) -> Prepared:
        """Turn one decoded instance into a row of a model's input batch."""

    @abstractmethod
    def answer(self, outputs: Outputs, context: Any, options: Mapping[str, Any], model: Declaration) -> Answer:
        """Turn one row of a model's outputs into an answer.

        Args:
            outputs: by name, without the batch dimension.
            context: of the row, from `prepare`.
            options: of the request, from `options`.
            model: the model that answered.
        """

    @abstractmethod
    def tensors(self, answered: Answered[Answer]) -> Tensors:
        """The answers as V2 outputs; BYTES as object arrays of bytes."""

    def misfit(self, model: Declaration) -> str | None:
        """Why a model cannot serve this task, from what it declares; None where it can."""
        only = next(iter(model.outputs.values())) if len(model.outputs) == 1 else None
        checks: list[tuple[str, OutputType, TensorSpec | None]] = [("input", self.model_input, model.input)]
        for name, output in self.model_outputs.items():
            checks.append(
                (f"output {name}", output, model.outputs.get(name)) if name else ("single output", output, only)
            )
        for what, (datatype, shape), found in checks:
            wanted = f"{datatype} [{', '.join('?' if size == -1 else str(size) for size in shape)}]"
            if found is None:
                return f"it has no {what}, {wanted}"
            fits = len(shape) == len(found.shape) and all(
                size in (-1, own) for size, own in zip(shape, found.shape, strict=True)
            )
            if found.datatype != datatype or not fits:
                return f"its {what} is {found.datatype} {list(found.shape)}, not {wanted}"
        return None

    def is_light(self, instance: bytes | Window) -> bool:
        """Whether array work on the instance takes less time than handing it to a thread."""
        return False

    def options(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """A request's options: its own parameters, and defaults for the rest; None is absent.

        Raises:
            BadRequestError: a parameter is unknown or has a value that it does not take.
        """
        check_parameters(self.name, self.parameters, parameters)
        return {**self.defaults, **{name: value for name, value in parameters.items() if value is not None}}

    def input_type(self, model: Declaration | None) -> dict[str, Any]:
        """The V2 input; `model` is None while no model of the chain is known."""
        return input_type(self.kind)

    def output_types(self, model: Declaration | None = None) -> dict[str, OutputType]:
        """The V2 outputs that every answer has, in this presentation; `model` is None while none is known."""
        named = self.presentation.outputs or tuple(self.outputs)
        return {name: self.outputs[name] for name in named}

    def predictions(self, answered: Answered[Answer]) -> Sequence[Prediction]:
        """The answers in JSON, one for each instance, each with the warning where there is one."""
        made = self.presentation.predictions(answered)
        return [{**one, "warning": answered.warning} for one in made] if answered.warning else made

    def presented_tensors(self, answered: Answered[Answer]) -> Tensors:
        """The V2 outputs of this presentation."""
        shown = {*self.output_types(), *self.optional_outputs}
        return {name: array for name, array in self.tensors(answered).items() if name in shown}

    @classmethod
    def example_instance(cls) -> Any:
        """A small instance to try the task with: an image's bytes, or a window as a list of numbers."""
        data = (_EXAMPLES / cls.example).read_bytes()
        return data if cls.kind is InstanceKind.IMAGE else json.loads(data)


def strings(values: Sequence[str]) -> npt.NDArray[np.object_]:
    """A BYTES tensor: an object array of UTF-8 bytes, [N]."""
    array = np.empty(len(values), np.object_)
    array[:] = [value.encode() for value in values]
    return array
