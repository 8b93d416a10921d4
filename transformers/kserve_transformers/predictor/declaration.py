"""What a model says of itself in Triton: tensors, parameters, labels. Learnt at start, never written twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import triton_to_np_dtype


@dataclass(frozen=True)
class TensorSpec:
    """One input or output, without its batch dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array type of the tensor."""
        dtype: np.dtype[Any] = np.dtype(triton_to_np_dtype(self.datatype))
        return dtype


@dataclass(frozen=True)
class Declaration:
    """What a model takes and gives.

    Attributes:
        version: the newest version that is loaded.
        inputs: by name.
        outputs: by name.
        max_batch_size: at least 1.
        parameters: of the model's config, as text.
        labels: of the output that has a label file, in the order of the classes; empty if none has.
    """

    name: str
    version: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    max_batch_size: int
    parameters: Mapping[str, str]
    labels: tuple[str, ...]

    @property
    def input(self) -> TensorSpec:
        """The model's only input."""
        return next(iter(self.inputs.values()))

    @property
    def trained(self) -> bool:
        """Whether the weights are more than a fixed seed's random numbers."""
        return self.parameters.get("weights") != "untrained"

    @property
    def warning(self) -> str | None:
        """What callers must know of the answers."""
        return self.parameters.get("warning")

    def label(self, class_index: int) -> str:
        """A class's label, or its number where the model has no label for it."""
        return self.labels[class_index] if class_index < len(self.labels) else str(class_index)


async def learn(client: InferenceServerClient, name: str) -> Declaration:
    """Ask Triton what a model declares.

    Raises:
        tritonclient.utils.InferenceServerException: the model is not there or not ready.
        ValueError: the model is not one that we can serve: it has several inputs, or none.
    """
    metadata = await client.get_model_metadata(name)
    config = await client.get_model_config(name)
    batched = int(config["max_batch_size"]) > 0
    inputs, outputs = ({spec.name: spec for spec in _specs(metadata[key], batched)} for key in ("inputs", "outputs"))
    if len(inputs) != 1 or not batched:
        raise ValueError(f"model {name} must have exactly one input and a batch dimension")
    labelled = next((o["name"] for o in config["output"] if o.get("label_filename")), None)
    return Declaration(
        name=name,
        version=max(metadata["versions"], key=int),
        inputs=inputs,
        outputs=outputs,
        max_batch_size=int(config["max_batch_size"]),
        parameters={key: value["string_value"] for key, value in config.get("parameters", {}).items()},
        labels=await _labels(client, name, next(iter(inputs.values())), outputs[labelled]) if labelled else (),
    )


def release_of(repository: Path | None) -> str:
    """The name of the release that a repository is (release.json at its root); "none" where it says none."""
    try:
        return str(json.loads((repository / "release.json").read_text())["name"]) if repository else "none"
    except (OSError, ValueError, KeyError, TypeError):
        return "none"  # for people to see; what is wrong with a release is found before it is served


def _specs(tensors: list[dict[str, Any]], batched: bool) -> list[TensorSpec]:
    return [TensorSpec(t["name"], t["datatype"], tuple(t["shape"])[1 if batched else 0 :]) for t in tensors]


async def _labels(client: InferenceServerClient, name: str, spec: TensorSpec, output: TensorSpec) -> tuple[str, ...]:
    """All labels of an output, through Triton's classification extension: it answers `score:index:label`."""
    tensor = InferInput(spec.name, [1, *spec.shape], spec.datatype)
    tensor.set_data_from_numpy(np.zeros([1, *spec.shape], spec.dtype))
    count = int(np.prod(output.shape))
    result = await client.infer(name, [tensor], outputs=[InferRequestedOutput(output.name, class_count=count)])
    entries: npt.NDArray[Any] = result.as_numpy(output.name)
    split = [entry.decode().split(":", 2) for entry in entries.reshape(-1)]
    by_class = {int(fields[1]): fields[2] for fields in split if len(fields) == 3}
    return tuple(by_class[index] for index in range(len(by_class)) if index in by_class)
