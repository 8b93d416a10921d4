"""config.pbtxt, as Triton reads it (model_config.proto), written so that the same model always gives the same bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from exporters.catalog import ONE_THREAD, Placement, Platform

DataType = Literal["TYPE_UINT8", "TYPE_INT32", "TYPE_FP32"]

# Threads inside an operation, and of operations beside each other: these networks are one chain of operations.
_THREADS: Mapping[Platform, tuple[str, str]] = MappingProxyType(
    {
        "onnxruntime_onnx": ("intra_op_thread_count", "inter_op_thread_count"),
        "pytorch_libtorch": ("INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT"),
        "tensorflow_savedmodel": ("TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"),
    }
)


@dataclass(frozen=True)
class Tensor:
    """An input or output of one request; dims are without the batch dimension.

    Attributes:
        labels: whether labels.txt names the tensor's values.
    """

    name: str
    data_type: DataType
    dims: tuple[int, ...]
    labels: bool = False


@dataclass(frozen=True)
class Config:
    """What Triton and the transformers need to know about a model; parameters are strings for both.

    Attributes:
        gpu_instances: on each GPU, where Triton takes its GPU configurations; 0: the model is too small to gain.
    """

    name: str
    platform: Platform
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_batch_size: int = 8
    placement: Placement = ONE_THREAD
    gpu_instances: int = 0


def to_pbtxt(config: Config, gpu: bool = False) -> str:
    """Write a config in protobuf's text format, parameters in alphabetical order.

    Args:
        config: what to say.
        gpu: place the instances on GPUs; how many threads a processor's instance has is not said then.
    """
    intra, inter = _THREADS[config.platform]
    threads = {} if gpu else {intra: str(config.placement.threads), inter: "1"}
    instances = f"count: {config.gpu_instances} kind: KIND_GPU" if gpu else f"count: {config.placement.instances}"
    return "".join(
        (
            f"name: {_quoted(config.name)}\n",
            f"platform: {_quoted(config.platform)}\n",
            f"max_batch_size: {config.max_batch_size}\n",
            *(_tensor("input", tensor) for tensor in config.inputs),
            *(_tensor("output", tensor) for tensor in config.outputs),
            f"instance_group [ {{ {instances} }} ]\n",
            # a request whose time is up while it waits for a batch is turned away, not worked for
            "dynamic_batching { default_queue_policy { allow_timeout_override: true } }\n",
            *(
                f"parameters {{ key: {_quoted(key)} value: {{ string_value: {_quoted(value)} }} }}\n"
                for key, value in sorted({**threads, **config.parameters}.items())
            ),
        )
    )


def _tensor(kind: str, tensor: Tensor) -> str:
    lines = [f"name: {_quoted(tensor.name)}", f"data_type: {tensor.data_type}", f"dims: {list(tensor.dims)}"]
    if tensor.labels:
        lines.append('label_filename: "labels.txt"')
    return f"{kind} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _quoted(text: str) -> str:
    """JSON's escapes of a string without control characters are protobuf's too."""
    return json.dumps(text, ensure_ascii=False)
