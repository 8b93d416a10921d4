"""Does the artefact take and give what its config says?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.repository import versions
from releases.errors import GateError
from releases.gate.configs import dtype, read_configs
from releases.gate.golden import read_sample

Shape = tuple[int | None, ...]
_PROBE_BATCH = 2


@dataclass(frozen=True)
class Tensor:
    """A tensor of an artefact, batch dimension included; None: of any size."""

    dtype: np.dtype[Any]
    shape: Shape


@dataclass(frozen=True)
class Signature:
    """What an artefact takes and gives, by tensor name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


def check_artefacts(folder: Path) -> None:
    """Refuse artefacts whose tensors are not those of the config, in name, type or shape.

    Raises:
        GateError: names the model and the tensor.
    """
    for model_dir in sorted(folder.iterdir()):
        for path, config in read_configs(model_dir):
            artefact = model_dir / str(versions(model_dir)[-1])
            try:
                signature = SIGNATURES[config.platform](artefact, config)
            except Exception as exc:
                reason = str(exc).strip().partition("\n")[0]
                raise GateError(f"{model_dir.name} cannot be read ({reason}): export the model again") from exc
            name = f"{model_dir.name}/{path.relative_to(model_dir).as_posix()}"
            _compare(name, "input", config.input, signature.inputs)
            _compare(name, "output", config.output, signature.outputs)


def check_labels(folder: Path) -> None:
    """Refuse labels that do not fit: one for each score of a tensor, or for each class number of the golden answer.

    Raises:
        GateError: names the model and both numbers.
    """
    for model_dir in sorted(folder.iterdir()):
        for _, config in read_configs(model_dir):
            for output in config.output:
                if output.label_filename:
                    _check_labels(model_dir, config, output)


def _check_labels(model_dir: Path, config: Any, output: Any) -> None:
    path = model_dir / output.label_filename
    if path.parent != model_dir or not path.is_file():
        raise GateError(f"{model_dir.name}/{output.label_filename} is missing: export the model again")
    labels = path.read_text().splitlines()
    if not all(labels):
        raise GateError(f"{model_dir.name}/{path.name} has an empty line: a class needs a name")
    if np.issubdtype(dtype(output), np.floating):
        if len(labels) != output.dims[-1]:
            raise GateError(f"{model_dir.name} has {len(labels)} labels for {output.dims[-1]} classes: export it again")
        return
    golden = read_sample(model_dir, config).outputs.get(output.name)
    highest = int(golden.values.max(initial=0)) if golden else 0
    if highest >= len(labels):
        raise GateError(f"{model_dir.name} has {len(labels)} labels and answers class {highest}: export it again")


def _compare(name: str, kind: str, declared: Iterable[Any], found: Mapping[str, Tensor]) -> None:
    tensors = {tensor.name: tensor for tensor in declared}
    if tensors.keys() != found.keys():
        raise GateError(f"{name} declares {kind} {sorted(tensors)}, the artefact has {sorted(found)}: export it again")
    for tensor in tensors.values():
        artefact = found[tensor.name]
        if dtype(tensor) != artefact.dtype:
            raise GateError(
                f"{name} declares {kind} {tensor.name} {dtype(tensor)}, the artefact {artefact.dtype}: export it again"
            )
        batch, *dims = artefact.shape or (0,)
        if batch is not None:
            raise GateError(
                f"{name} batches, but {kind} {tensor.name} of the artefact has {batch} rows: export it again"
            )
        fits = len(dims) == len(tensor.dims) and all(
            d in (None, wanted) or wanted == -1 for d, wanted in zip(dims, tensor.dims, strict=True)
        )
        if not fits:
            raise GateError(
                f"{name} declares {kind} {tensor.name} {list(tensor.dims)}, the artefact {dims}: export it again"
            )


def _onnx(version_dir: Path, config: Any) -> Signature:
    import onnx

    graph = onnx.load(version_dir / "model.onnx", load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}

    def tensor(value: onnx.ValueInfoProto) -> Tensor:
        kind = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        return Tensor(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape)

    return Signature(
        {value.name: tensor(value) for value in graph.input if value.name not in weights},
        {value.name: tensor(value) for value in graph.output},
    )


def _saved_model(version_dir: Path, config: Any) -> Signature:
    from exporters import tensorflow_runtime

    tf = tensorflow_runtime.start()
    from tensorflow.core.protobuf import saved_model_pb2

    content = (version_dir / "model.savedmodel" / "saved_model.pb").read_bytes()
    served = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def["serving_default"]

    def tensor(info: Any) -> Tensor:
        shape = tuple(None if dim.size == -1 else int(dim.size) for dim in info.tensor_shape.dim)
        return Tensor(np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype), shape)

    return Signature(
        {name: tensor(info) for name, info in served.inputs.items()},
        {name: tensor(info) for name, info in served.outputs.items()},
    )


def _torchscript(version_dir: Path, config: Any) -> Signature:
    """TorchScript keeps names of arguments only: types and shapes show when a batch of zeros is given to it."""
    import torch

    from exporters import torchscript

    loaded = torchscript.load_artefact(version_dir / torchscript.FILENAME)
    names = [argument.name for argument in loaded.forward.schema.arguments][1:]
    zeros = {
        tensor.name: np.zeros([_PROBE_BATCH, *(max(d, 1) for d in tensor.dims)], dtype(tensor))
        for tensor in config.input
    }
    with torch.inference_mode():
        answer = loaded(*(torch.from_numpy(value) for value in zeros.values()))
    answers = list(answer) if isinstance(answer, tuple | list) else [answer]
    # PyTorch's backend tells outputs by the number at the end of their names.
    outputs = sorted(config.output, key=lambda output: int(output.name.rpartition("__")[2]))
    return Signature(
        {name: _batched(value) for name, value in zip(names, zeros.values(), strict=True)},
        {output.name: _batched(value.numpy()) for output, value in zip(outputs, answers, strict=True)},
    )


def _batched(value: Any) -> Tensor:
    rows, *dims = value.shape or (0,)
    return Tensor(value.dtype, (None if rows == _PROBE_BATCH else rows, *dims))


SIGNATURES: Mapping[str, Callable[[Path, Any], Signature]] = {
    "onnxruntime_onnx": _onnx,
    "pytorch_libtorch": _torchscript,
    "tensorflow_savedmodel": _saved_model,
}
