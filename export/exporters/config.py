"""config.pbtxt: Triton's ModelConfig message in protobuf's text format. The same model always gives the same bytes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

from exporters.catalog import ONE_THREAD, Placement, Platform
from exporters.errors import ConfigInvalidError, first_line

FILENAME = "config.pbtxt"
TUNED = "tuned"  # parameter of a configuration that `modelport tune` has written: the profile and the cores
DataType = Literal["TYPE_UINT8", "TYPE_INT32", "TYPE_FP32"]
# "inputs" and "outputs" of an artefact, by tensor name: NumPy's name of the type, and the shape with the batch
# dimension; None for a dimension of any size.
Signature = dict[str, dict[str, tuple[str, list[int | None]]]]

# The parameters of Triton's C++ backends for threads inside an operation, and for operations that run in parallel. The
# second is always 1: these networks are chains of operations.
THREADS: Mapping[Platform, tuple[str, str]] = MappingProxyType(
    {
        "onnxruntime_onnx": ("intra_op_thread_count", "inter_op_thread_count"),
        "pytorch_libtorch": ("INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT"),
        "tensorflow_savedmodel": ("TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"),
    }
)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model; dims do not include the batch dimension. `labels`: labels.txt names its values."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]
    labels: bool = False


@dataclass(frozen=True)
class Config:
    """What Triton and the transformers need to know about a model.

    Without `gpu_instances` the model has no GPU configuration: it is too small to gain from a GPU.
    """

    name: str
    platform: Platform
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_batch_size: int = 8
    placement: Placement = ONE_THREAD
    gpu_instances: int = 0


def to_pbtxt(config: Config, gpu: bool = False, present: Any = None) -> str:
    """Write a configuration in protobuf's text format, with parameters in alphabetical order.

    Args:
        config: the configuration.
        gpu: place the instances on GPUs; the thread counts of instances on the processor are left out.
        present: the ModelConfig message that this one replaces; what `modelport tune` found for it is kept.
    """
    threads: dict[str, str] = {}
    if gpu:
        group = model_config_pb2.ModelInstanceGroup(kind="KIND_GPU", count=config.gpu_instances)
    else:
        group = model_config_pb2.ModelInstanceGroup(count=config.placement.instances)
        threads = dict(zip(THREADS[config.platform], (str(config.placement.threads), "1"), strict=True))
    message = model_config_pb2.ModelConfig(
        name=config.name,
        platform=config.platform,
        max_batch_size=config.max_batch_size,
        input=[_tensor(model_config_pb2.ModelInput, tensor) for tensor in config.inputs],
        output=[_tensor(model_config_pb2.ModelOutput, tensor) for tensor in config.outputs],
        instance_group=[group],
        parameters={
            key: model_config_pb2.ModelParameter(string_value=value)
            for key, value in {**threads, **config.parameters}.items()
        },
    )
    # Triton rejects a request whose timeout expires in the queue, instead of running it for nobody.
    message.dynamic_batching.default_queue_policy.allow_timeout_override = True
    if present is not None:
        _keep_tuned(message, present)
    return to_text(message)


def _keep_tuned(message: Any, present: Any) -> None:
    """Placement and batching as tuned, unless that was for another engine or for batches of another size."""
    same = (present.platform, present.max_batch_size) == (message.platform, message.max_batch_size)
    if not same or TUNED not in present.parameters:
        return
    for field_name in ("instance_group", "dynamic_batching"):
        message.ClearField(field_name)
    message.instance_group.extend(present.instance_group)
    message.dynamic_batching.CopyFrom(present.dynamic_batching)
    for key in (TUNED, *THREADS[message.platform]):
        if key in present.parameters:
            message.parameters[key].CopyFrom(present.parameters[key])


def to_text(message: Any) -> str:
    """A ModelConfig message in protobuf's text format, a line for each field, parameters in alphabetical order."""
    text = text_format.MessageToString(message, as_utf8=True, use_short_repeated_primitives=True)
    return re.sub(r"\n(?: +|(?=}))", " ", text)  # strings contain no line breaks but escaped ones


def _tensor(kind: Any, tensor: Tensor) -> Any:
    message = kind(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    # an image, as NVIDIA's image clients look for it
    if kind is model_config_pb2.ModelInput and tensor.data_type == "TYPE_UINT8" and len(tensor.dims) == 3:
        message.format = model_config_pb2.ModelInput.FORMAT_NHWC
    if tensor.labels:
        message.label_filename = "labels.txt"
    return message


def read_config(path: Path) -> Any:
    """Parse a config.pbtxt as Triton does.

    Returns:
        A ModelConfig message.

    Raises:
        ConfigInvalidError: the file is missing, or is not a ModelConfig in protobuf's text format.
    """
    name = short_path(path)
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except FileNotFoundError as exc:
        raise ConfigInvalidError(f"{name} is missing: export the model again") from exc
    except (text_format.ParseError, UnicodeDecodeError) as exc:
        raise ConfigInvalidError(
            f"{name} is not a ModelConfig ({first_line(exc)}): correct it or export the model again"
        ) from exc


def short_path(path: Path) -> str:
    """The path of a configuration from the model's folder on."""
    return "/".join(path.parts[-3 if path.parent.name == "configs" else -2 :])


def datatype(tensor: Any) -> str:
    """The V2 protocol's name of the type of a ModelInput or ModelOutput message, such as FP32."""
    name: str = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    return {"STRING": "BYTES"}.get(name, name)


def dtype(tensor: Any) -> np.dtype[Any]:
    """The NumPy type of a ModelInput or ModelOutput message; np.void for a type that NumPy has no counterpart of."""
    found = triton_to_np_dtype(datatype(tensor))
    return np.dtype(found if found is not None else np.void)
