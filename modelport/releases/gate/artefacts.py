"""Checks that artefacts have the inputs and outputs of their configurations, and do nothing but arithmetic."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporters.config import dtype
from exporters.repository import versions
from modelport.exporting import FRAMEWORK, framework_python
from modelport.releases.errors import GateError
from modelport.releases.gate import int8
from modelport.releases.gate.configs import read_config, read_configs
from modelport.releases.gate.golden import read_sample
from modelport.releases.gate.harmless import unreadable

# By tensor name: dtype, and shape with the batch dimension; None: of any size.
Tensors = Mapping[str, tuple[str, list[int | None]]]


def check_artefacts(folder: Path) -> None:
    """Refuse artefacts whose tensors differ from the configuration in name, type or shape.

    Raises:
        GateError: names the model and the tensor.
        SetupError: the framework that reads the artefact could not be installed.
    """
    for model_dir in sorted(folder.iterdir()):
        folder_int8 = int8.folder_of(model_dir)
        signatures = [_signature(model_dir), *([int8.signature(folder_int8)] if folder_int8 else [])]
        for path, config in read_configs(model_dir):
            name = f"{model_dir.name}/{path.relative_to(model_dir).as_posix()}"
            for signature in signatures:
                _compare(name, "input", config.input, signature["inputs"])
                _compare(name, "output", config.output, signature["outputs"])


def check_labels(folder: Path) -> None:
    """Refuse labels.txt without a label for each score of an output, or for each class index of the golden answer.

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
        raise GateError(f"{model_dir.name}/{path.name} has an empty line: give every class a label")
    if np.issubdtype(dtype(output), np.floating):
        if len(labels) != output.dims[-1]:
            raise GateError(f"{model_dir.name} has {len(labels)} labels for {output.dims[-1]} classes: export it again")
        return
    golden = read_sample(model_dir, config).outputs.get(output.name)
    highest = int(golden.values.max(initial=0)) if golden else 0
    if highest >= len(labels):
        raise GateError(f"{model_dir.name} has {len(labels)} labels and answers class {highest}: export it again")


def _compare(name: str, kind: str, declared: Iterable[Any], found: Tensors) -> None:
    tensors = {tensor.name: tensor for tensor in declared}
    if tensors.keys() != found.keys():
        raise GateError(f"{name} declares {kind} {sorted(tensors)}, the artefact has {sorted(found)}: export it again")
    for tensor in tensors.values():
        what = f"{name} declares {kind} {tensor.name}"
        found_dtype, shape = found[tensor.name]
        if dtype(tensor).name != found_dtype:
            raise GateError(f"{what} {dtype(tensor)}, the artefact {found_dtype}: export it again")
        batch, *dims = shape or (0,)
        if batch is not None:
            raise GateError(f"{what} in batches, the artefact with {batch} rows: export it again")
        fits = len(dims) == len(tensor.dims) and all(
            size in (None, wanted) or wanted == -1 for size, wanted in zip(dims, tensor.dims, strict=True)
        )
        if not fits:
            raise GateError(f"{what} {list(tensor.dims)}, the artefact {dims}: export it again")


def _signature(model_dir: Path) -> Mapping[str, Tensors]:
    """The inputs and outputs of the newest artefact.

    Artefacts of PyTorch and TensorFlow are read in the framework's own environment, which also refuses dangerous ones.

    Raises:
        GateError: the artefact cannot be read, or does more than arithmetic.
        SetupError: the framework could not be installed.
    """
    framework = FRAMEWORK[read_config(model_dir / "config.pbtxt").platform]
    if framework is None:
        try:
            return _onnx_signature(model_dir / str(versions(model_dir)[-1]) / "model.onnx")
        except Exception as exc:  # onnx and protobuf have no common base of exceptions
            raise unreadable(model_dir, exc) from exc
    command = [framework_python(framework), "-P", "-m", "exporters.inspection", str(model_dir.absolute())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise unreadable(model_dir, (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1])
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])  # a framework may print lines of its own before
    if "refused" in found:
        raise GateError(f"{model_dir.name}: {found['refused']}")
    if "unreadable" in found:
        raise unreadable(model_dir, found["unreadable"])
    return found


def _onnx_signature(artefact: Path) -> Mapping[str, Tensors]:
    import onnx

    graph = onnx.load(artefact, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}

    def described(values: Iterable[onnx.ValueInfoProto]) -> Tensors:
        found = {}
        for value in values:
            tensor = value.type.tensor_type
            shape = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
            found[value.name] = (np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name, shape)
        return found

    inputs = (value for value in graph.input if value.name not in weights)
    return {"inputs": described(inputs), "outputs": described(graph.output)}
