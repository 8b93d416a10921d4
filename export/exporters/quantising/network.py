"""A model's newest artefact as OpenVINO reads it, with the tensor names of config.pbtxt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import config, saved_model, torchscript
from exporters.conversion import converted_path, inputs_of
from exporters.errors import ArtefactRefusedError, RepositoryError, last_line
from exporters.quantising.batches import Arrays, Network
from exporters.repository import versions

ARTEFACTS: Mapping[str, str] = {
    "onnxruntime_onnx": "model.onnx",
    "pytorch_libtorch": torchscript.FILENAME,
    "tensorflow_savedmodel": saved_model.FILENAME,
}


def read(model_dir: Path) -> Any:
    """Read the newest version of a model.

    Args:
        model_dir: with config.pbtxt and versions; a TorchScript model has been converted (see conversion.py).

    Returns:
        An openvino.Model whose inputs and outputs have the names of config.pbtxt, each the only one.

    Raises:
        ArtefactRefusedError: OpenVINO cannot read it, or it lacks a tensor of config.pbtxt.
        ConfigInvalidError: config.pbtxt is missing or malformed.
        RepositoryError: there is no version.
    """
    import openvino

    stated = config.read_config(model_dir / config.FILENAME)
    artefact = newest_artefact(model_dir)
    path = converted_path(artefact, inputs_of(model_dir)) if stated.platform == "pytorch_libtorch" else artefact
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as exc:
        raise ArtefactRefusedError(f"OpenVINO cannot read {artefact.name} ({last_line(exc)})") from exc
    for kind, tensors, found in (("input", stated.input, model.inputs), ("output", stated.output, model.outputs)):
        for index, tensor in enumerate(_in_order(stated.platform, tensors)):
            indexed = [found[index]] if stated.platform == "pytorch_libtorch" and index < len(found) else []
            match = indexed or [one for one in found if tensor.name in one.get_names()]
            if not match:
                raise ArtefactRefusedError(f"config.pbtxt names {kind} {tensor.name}, {artefact.name} has none")
            match[0].get_tensor().set_names({tensor.name})
    return model


def newest_artefact(model_dir: Path) -> Path:
    """The fp32 artefact in the newest version of a model.

    Raises:
        ConfigInvalidError: config.pbtxt is missing or malformed.
        RepositoryError: there is no version.
    """
    platform = config.read_config(model_dir / config.FILENAME).platform
    found = versions(model_dir)
    if platform not in ARTEFACTS or not found or not (model_dir / str(found[-1]) / ARTEFACTS[platform]).exists():
        raise RepositoryError(f"{model_dir.name} has no artefact: run `modelport export {model_dir.name}` first")
    return model_dir / str(found[-1]) / ARTEFACTS[platform]


def answering(model: Any, outputs: tuple[str, ...]) -> Network:
    """Compile a network as the Triton backends do.

    Args:
        model: an openvino.Model, or the path of one.
        outputs: names of those that are wanted.

    Returns:
        A function from inputs to outputs, [N, ...] each, by name.
    """
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def answer(inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        found = compiled({name: np.ascontiguousarray(values) for name, values in inputs.items()})
        return {name: np.array(found[name]) for name in outputs}

    return answer


def _in_order(platform: str, tensors: Any) -> list[Any]:
    return torchscript.by_index(tensors) if platform == "pytorch_libtorch" else list(tensors)
