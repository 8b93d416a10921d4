"""What looking at a file finds (Description), and what was decided about the model (Plan); both are JSON, too.

They pass between the command, which has no framework, and the environments of the frameworks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from exporters.catalog import Platform

Task = Literal["detection", "classification", "digits", "anomaly"]
Layout = Literal["nhwc", "nchw"]
ChannelOrder = Literal["rgb", "bgr"]
ResizeMode = Literal["letterbox", "stretch", "center_crop"]
# NumPy's name of the type, and the shape with the batch dimension; None for a dimension of any size.
TensorType = tuple[str, tuple[int | None, ...]]

T = TypeVar("T")


@dataclass(frozen=True)
class Fact:
    """Something that was found out about a model, or is assumed of it."""

    what: str  # its name, such as "layout", "input size", "scaling", "head" or "labels"
    value: str  # as a person reads it
    source: str  # a sentence that says where it comes from
    sure: bool = True  # whether it was found; False: it is assumed
    flag: str = ""  # of `modelport add`, that states it; "" where nothing has to


@dataclass(frozen=True)
class Hints:
    """What the user states that helps to inspect a file."""

    task: Task | None = None  # of the model; None: not stated
    size_hw: tuple[int, int] | None = None  # of the input; None: not stated
    labels: int = 0  # how many; 0: not stated
    head: str = ""  # of a detector, as `exporters.heads.recognise` takes it; "": not stated


@dataclass(frozen=True)
class Head:
    """A head that the outputs of a detector may be."""

    name: str  # of the head, such as "yolov8"
    # of the head, as `exporters.heads.append` takes them; JSON values
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0  # how many
    resize_mode: ResizeMode | None = None  # how the family resizes its images; None: it is not fixed
    # of the scaling that the family fixes, (pixel - mean) / std with pixels in 0..255, one value or one for each
    # channel; None: it is not fixed
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None  # see mean
    channel_order: ChannelOrder | None = None  # of the pixels; None: it is not fixed
    facts: tuple[Fact, ...] = ()  # what the head was recognised by


@dataclass(frozen=True)
class Description:
    """What looking at a file finds, before anything is decided. What was not found is None or empty."""

    format: str  # a key of `exporters.adding.formats.FORMATS`
    platform: Platform  # of the artefact that the format's module builds
    inputs: Mapping[str, TensorType]  # tensors of the original, by name, in order
    outputs: Mapping[str, TensorType]  # tensors of the original, by name, in order
    # what the file says of itself, by the names that its writer uses (Ultralytics: names, stride, task, imgsz)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    size_hw: tuple[int, int] | None = None  # of the input, where it is fixed or the metadata states it
    layout: Layout | None = None  # of the input
    channels: int | None = None  # of the input
    channel_order: ChannelOrder | None = None  # of the input
    # of the scaling that has to be done before the original sees the pixels, (pixel - mean) / std with pixels in
    # 0..255, one value or one for each channel; (0,) and (1,) where the original scales itself
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None  # see mean
    resize_mode: ResizeMode | None = None  # how images are brought to the size
    resize_size: int | None = None  # of `center_crop`: the length of the shorter side
    interpolation: Literal["bilinear", "bicubic"] | None = None  # of resizing
    labels: tuple[str, ...] = ()  # in the order of the classes
    classes: int | None = None  # how many, of a classifier
    scores: str = ""  # the output of a classifier that holds them; "" where there is one output only, or none is one
    # of a classifier: what has to be applied to its output to make probabilities of it
    activation: Literal["softmax", "none"] | None = None
    heads: tuple[Head, ...] = ()  # that the outputs of a detector may be, the likeliest first
    # that the artefact can take; 1 where the batch dimension is fixed and cannot be made dynamic
    max_batch_size: int = 8
    facts: tuple[Fact, ...] = ()  # about all these, and whatever else a person should know


@dataclass(frozen=True)
class Plan:
    """All that decides an artefact.

    The artefact's input is the only one: UINT8 [N,H,W,C] RGB, or FP32 [N,length] for an anomaly detector. It is called
    `input`, and its outputs are those of `outputs`: boxes FP32 [N,300,4], scores FP32 [N,300] and classes INT32 [N,300]
    of a detector; probabilities FP32 [N,classes] of a classifier; reconstruction FP32 [N,length] and mae FP32 [N,1].
    """

    name: str  # of the model in the repository
    task: Task  # of the transformer
    platform: Platform  # of the artefact
    original_input: str = ""  # name of the original's input; "" where its format has no names
    # names of the original's outputs that are read, in order; of an anomaly detector and of a classifier the only one
    original_outputs: tuple[str, ...] = ()
    size_hw: tuple[int, int] = (0, 0)  # of the input; (0, 0) for a window
    # of the original: 3, or 1 for digits and for a network of grey images; the artefact makes the grey of 0.299 R +
    # 0.587 G + 0.114 B then, and takes RGB all the same. The artefact for digits takes [28,28,1].
    channels: int = 3
    length: int = 0  # of a window, for an anomaly detector
    layout: Layout = "nhwc"  # that the original takes
    # of the scaling that the original needs, (pixel - mean) / std with pixels in 0..255, one for each channel
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)  # see mean
    channel_order: ChannelOrder = "rgb"  # that the original takes
    resize_mode: ResizeMode = "stretch"  # of the transformer
    resize_size: int | None = None  # of `center_crop`
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"  # of resizing
    labels: tuple[str, ...] = ()  # in the order of the classes
    activation: Literal["softmax", "none"] = "none"  # what the artefact applies to a classifier's output
    head: str = ""  # name of a detector's head
    head_options: Mapping[str, Any] = field(default_factory=dict)  # of it
    max_batch_size: int = 8  # of the artefact
    threshold: float | None = None  # of an anomaly detector
    licence: str = "not stated"
    accuracy: str = "not stated"

    @property
    def input(self) -> str:
        """The name of the artefact's input."""
        return self._named("windows" if self.task == "anomaly" else "images", 0)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the artefact's outputs, in order."""
        names = {"detection": ("boxes", "scores", "classes"), "anomaly": ("reconstruction", "mae")}
        return tuple(self._named(name, index) for index, name in enumerate(names.get(self.task, ("probabilities",))))

    def _named(self, name: str, index: int) -> str:
        """Triton's PyTorch backend needs an index behind each name."""
        return f"{name}__{index}" if self.platform == "pytorch_libtorch" else name


def to_json(value: object) -> str:
    """A dataclass of this module as JSON."""
    return TypeAdapter(type(value)).dump_json(value, indent=1).decode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """The dataclass that `to_json` wrote.

    Raises:
        ValueError: the text is no such JSON.
    """
    return TypeAdapter(kind).validate_json(text)
