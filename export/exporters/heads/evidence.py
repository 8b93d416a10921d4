"""What is known of a detector's outputs: their names, types and shapes, and what they answer to noise."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, ValueInfoProto, helper

from exporters.errors import UnclearModelError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """An input or output."""

    name: str  # in the model
    dtype: np.dtype[Any]  # of its values
    shape: Shape  # None for a dimension that is not known
    values: npt.NDArray[Any] | None = None  # an answer to noise; None where the model was not run

    @property
    def sizes(self) -> str:
        """Its shape, for messages."""
        return "[" + ",".join("N" if size is None else str(size) for size in self.shape) + "]"

    @property
    def called(self) -> str:
        """Its name without what TensorFlow's converters add."""
        return self.name.removesuffix(":0").rpartition("/")[2].lower()


@dataclass(frozen=True)
class Evidence:
    """All that heads are recognised by."""

    inputs: tuple[Tensor, ...]  # of the model
    outputs: tuple[Tensor, ...]  # of the model
    metadata: Mapping[str, Any]  # what the file says of itself
    input_hw: tuple[int, int] | None  # height and width of the images
    labels: int  # how many labels the user or the file states; 0: nobody does

    def output(self, *names: str) -> Tensor | None:
        """The output with one of these names."""
        return next((tensor for name in names for tensor in self.outputs if tensor.called == name), None)

    def told(self, key: str) -> str:
        """An entry of the metadata, in lower case; "" where there is none."""
        return str(self.metadata.get(key, "")).lower()


def observe(
    model: ModelProto, metadata: Mapping[str, Any], input_hw: tuple[int, int] | None = None, labels: int = 0
) -> Evidence:
    """Look at a model, and run it once on noise where the sizes of all its inputs are known."""
    inputs = tuple(tensor_of(value) for value in inputs_of(model))
    outputs = tuple(tensor_of(value) for value in model.graph.output)
    image = image_input(model)
    hw = _input_hw(image) or input_hw or _stated_hw(metadata)
    answers = None if hw is None else _answers(model, inputs, image, hw)
    if answers is not None:
        outputs = tuple(
            Tensor(tensor.name, tensor.dtype, _seen_shape(tensor, values), values)
            for tensor, values in zip(outputs, answers, strict=True)
        )
    return Evidence(inputs, outputs, metadata, hw, labels or len(names_in(metadata)))


def names_in(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels in Ultralytics' metadata, which are a dictionary or a list, or the text of one."""
    names = metadata.get("names")
    if isinstance(names, str):
        try:
            names = ast.literal_eval(names)
        except (ValueError, SyntaxError):
            return ()
    if isinstance(names, Mapping):
        return tuple(str(name) for name in names.values())
    return tuple(str(name) for name in names) if isinstance(names, Sequence) else ()


def inputs_of(model: ModelProto) -> tuple[ValueInfoProto, ...]:
    """The inputs without weights, which files of IR 3 list there, too."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    return tuple(value for value in model.graph.input if value.name not in initializers)


def image_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs but for the sizes of images, which `append` fills in."""
    return [value for value in inputs_of(model) if not is_sizes(tensor_of(value))]


def image_input(model: ModelProto) -> Tensor:
    """The input that takes images: the first of three or four dimensions.

    Raises:
        UnclearModelError: there is none.
    """
    for value in inputs_of(model):
        if len(value.type.tensor_type.shape.dim) in (3, 4):
            return tensor_of(value)
    raise UnclearModelError("the model has no input of three or four dimensions, as images have")


def tensor_of(value: ValueInfoProto) -> Tensor:
    """What a file declares of an input or output."""
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim)
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type) if kind.elem_type else np.dtype(object)
    return Tensor(value.name, dtype, shape)


def _seen_shape(tensor: Tensor, values: npt.NDArray[Any]) -> Shape:
    """The declared shape, and the sizes seen where it leaves one open, but for the first, which is the batch."""
    if len(tensor.shape) != values.ndim:
        return (None, *values.shape[1:])
    return tuple(
        size if size is not None or axis == 0 else values.shape[axis] for axis, size in enumerate(tensor.shape)
    )


def _is_nhwc(tensor: Tensor) -> bool:
    return tensor.shape[-1] in (1, 3) and tensor.shape[-3] not in (1, 3)


def _input_hw(image: Tensor) -> tuple[int, int] | None:
    height, width = image.shape[-3:-1] if _is_nhwc(image) else image.shape[-2:]
    return None if height is None or width is None else (height, width)


def _stated_hw(metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    """Ultralytics' imgsz: [height, width]."""
    stated = metadata.get("imgsz")
    if isinstance(stated, str):
        try:
            stated = ast.literal_eval(stated)
        except (ValueError, SyntaxError):
            return None
    if isinstance(stated, int):
        return stated, stated
    return (int(stated[0]), int(stated[1])) if isinstance(stated, Sequence) and len(stated) == 2 else None


def _answers(
    model: ModelProto, inputs: Sequence[Tensor], image: Tensor, hw: tuple[int, int]
) -> list[npt.NDArray[Any]] | None:
    """What the model answers to one image of noise; None where it cannot be run."""
    noise = np.random.default_rng(0)
    feed: dict[str, npt.NDArray[Any]] = {}
    for tensor in inputs:
        if tensor.name == image.name:
            channels = (tensor.shape[-1] if _is_nhwc(tensor) else tensor.shape[-3]) or 3
            size = [*hw, channels] if _is_nhwc(tensor) else [channels, *hw]
            shape = [tensor.shape[0] or 1, *size] if len(tensor.shape) == 4 else size
            values = noise.random(shape) if tensor.dtype.kind == "f" else noise.integers(0, 256, shape)
            feed[tensor.name] = values.astype(tensor.dtype)
        elif is_sizes(tensor):
            feed[tensor.name] = np.asarray([[hw[1], hw[0]]], tensor.dtype)
        else:
            return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, feed))
    except Exception:  # ONNX Runtime's errors have no common class; protobuf cannot write models above 2 GiB
        return None


def is_sizes(tensor: Tensor) -> bool:
    """Whether an input takes the sizes of the images, as RT-DETR's deployed form does: [N,2], width and height."""
    return len(tensor.shape) == 2 and tensor.shape[1] == 2 and tensor.called == "orig_target_sizes"
