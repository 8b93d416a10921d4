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
    """Something that was found out about a model, or is assumed of it.

    Attributes:
        what: its name, such as "layout", "input size", "scaling", "head" or "labels".
        value: as a person reads it.
        source: a sentence that says where it comes from.
        sure: whether it was found; False: it is assumed.
        flag: of `modelport add`, that states it; "" where nothing has to.
    """

    what: str
    value: str
    source: str
    sure: bool = True
    flag: str = ""


@dataclass(frozen=True)
class Hints:
    """What the user states that helps to inspect a file.

    Attributes:
        task: of the model; None: not stated.
        size_hw: of the input; None: not stated.
        labels: how many; 0: not stated.
        head: of a detector, as `exporters.heads.recognise` takes it; "": not stated.
    """

    task: Task | None = None
    size_hw: tuple[int, int] | None = None
    labels: int = 0
    head: str = ""


@dataclass(frozen=True)
class Head:
    """A head that the outputs of a detector may be.

    Attributes:
        name: of the head, such as "yolov8".
        options: of the head, as `exporters.heads.append` takes them; JSON values.
        classes: how many.
        resize_mode: how the family resizes its images; None: it is not fixed.
        mean: of the scaling that the family fixes, (pixel - mean) / std with pixels in 0..255, one value or one for
            each channel; None: it is not fixed.
        std: see mean.
        channel_order: of the pixels; None: it is not fixed.
        facts: what the head was recognised by.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0
    resize_mode: ResizeMode | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: ChannelOrder | None = None
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Description:
    """What looking at a file finds, before anything is decided. What was not found is None or empty.

    Attributes:
        format: a key of `exporters.adding.formats.FORMATS`.
        platform: of the artefact that the format's module builds.
        inputs: tensors of the original, by name, in order.
        outputs: tensors of the original, by name, in order.
        metadata: what the file says of itself, by the names that its writer uses (Ultralytics: names, stride, task,
            imgsz).
        size_hw: of the input, where it is fixed or the metadata states it.
        layout: of the input.
        channels: of the input.
        channel_order: of the input.
        mean: of the scaling that has to be done before the original sees the pixels, (pixel - mean) / std with pixels
            in 0..255, one value or one for each channel; (0,) and (1,) where the original scales itself.
        std: see mean.
        resize_mode: how images are brought to the size.
        resize_size: of `center_crop`: the length of the shorter side.
        interpolation: of resizing.
        labels: in the order of the classes.
        classes: how many, of a classifier.
        scores: the output of a classifier that holds them; "" where there is one output only, or none is one.
        activation: of a classifier: what has to be applied to its output to make probabilities of it.
        heads: that the outputs of a detector may be, the likeliest first.
        max_batch_size: that the artefact can take; 1 where the batch dimension is fixed and cannot be made dynamic.
        facts: about all these, and whatever else a person should know.
    """

    format: str
    platform: Platform
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    size_hw: tuple[int, int] | None = None
    layout: Layout | None = None
    channels: int | None = None
    channel_order: ChannelOrder | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize_mode: ResizeMode | None = None
    resize_size: int | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    labels: tuple[str, ...] = ()
    classes: int | None = None
    scores: str = ""
    activation: Literal["softmax", "none"] | None = None
    heads: tuple[Head, ...] = ()
    max_batch_size: int = 8
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that decides an artefact.

    The artefact's input is the only one: UINT8 [N,H,W,C] RGB, or FP32 [N,length] for an anomaly detector. It is called
    `input`, and its outputs are those of `outputs`: boxes FP32 [N,300,4], scores FP32 [N,300] and classes INT32 [N,300]
    of a detector; probabilities FP32 [N,classes] of a classifier; reconstruction FP32 [N,length] and mae FP32 [N,1].

    Attributes:
        name: of the model in the repository.
        task: of the transformer.
        platform: of the artefact.
        original_input: name of the original's input; "" where its format has no names.
        original_outputs: names of the original's outputs that are read, in order; of an anomaly detector and of a
            classifier the only one.
        size_hw: of the input; (0, 0) for a window.
        channels: of the original: 3, or 1 for digits and for a network of grey images; the artefact makes the grey of
            0.299 R + 0.587 G + 0.114 B then, and takes RGB all the same. The artefact for digits takes [28,28,1].
        length: of a window, for an anomaly detector.
        layout: that the original takes.
        mean: of the scaling that the original needs, (pixel - mean) / std with pixels in 0..255, one for each channel.
        std: see mean.
        channel_order: that the original takes.
        resize_mode: of the transformer.
        resize_size: of `center_crop`.
        interpolation: of resizing.
        labels: in the order of the classes.
        activation: what the artefact applies to a classifier's output.
        head: name of a detector's head.
        head_options: of it.
        max_batch_size: of the artefact.
        threshold: of an anomaly detector.
    """

    name: str
    task: Task
    platform: Platform
    original_input: str = ""
    original_outputs: tuple[str, ...] = ()
    size_hw: tuple[int, int] = (0, 0)
    channels: int = 3
    length: int = 0
    layout: Layout = "nhwc"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: ChannelOrder = "rgb"
    resize_mode: ResizeMode = "stretch"
    resize_size: int | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    labels: tuple[str, ...] = ()
    activation: Literal["softmax", "none"] = "none"
    head: str = ""
    head_options: Mapping[str, Any] = field(default_factory=dict)
    max_batch_size: int = 8
    threshold: float | None = None
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
