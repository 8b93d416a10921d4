"""Does the artefact take and give what its config says, and do nothing but arithmetic?"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.config import dtype
from exporters.repository import versions
from modelport.exporting import FRAMEWORK, framework_python
from modelport.releases.errors import GateError
from modelport.releases.gate.configs import read_config, read_configs
from modelport.releases.gate.golden import read_sample

Shape = tuple[int | None, ...]


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
        signature = _signature(model_dir)
        for path, config in read_configs(model_dir):
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


def _signature(model_dir: Path) -> Signature:
    """Read by the artefact's framework, in a process and an environment of its own.

    Raises:
        GateError: the artefact cannot be read, or does more than arithmetic.
        SetupError: the framework could not be installed.
    """
    platform = read_config(model_dir / "config.pbtxt").platform
    framework = FRAMEWORK[platform]
    if framework is None:
        try:
            return _onnx(model_dir / str(versions(model_dir)[-1]))
        except Exception as exc:  # onnx and protobuf have no common base of exceptions
            reason = str(exc).strip().partition("\n")[0]
            raise GateError(f"{model_dir.name} cannot be read ({reason}): export the model again") from exc
    command = [framework_python(framework), "-P", "-m", "exporters.inspection", str(model_dir.absolute())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        raise GateError(f"{model_dir.name} cannot be read ({reason}): export the model again")
    found = json.loads(run.stdout)
    if "refused" in found:
        raise GateError(f"{model_dir.name}: {found['refused']}")
    if "unreadable" in found:
        raise GateError(f"{model_dir.name} cannot be read ({found['unreadable']}): export the model again")

    def tensors(kind: str) -> dict[str, Tensor]:
        return {name: Tensor(np.dtype(kind_of), tuple(shape)) for name, (kind_of, shape) in found[kind].items()}

    return Signature(tensors("inputs"), tensors("outputs"))


def _onnx(version_dir: Path) -> Signature:
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
