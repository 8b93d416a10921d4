"""What a model declares in Triton: tensors, parameters, labels. It is read from there, never written twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    """A model's inputs, outputs and what else its config says."""

    name: str
    version: str  # the newest version that is loaded
    inputs: Mapping[str, TensorSpec]  # by name
    outputs: Mapping[str, TensorSpec]  # by name
    max_batch_size: int  # at least 1
    parameters: Mapping[str, str]  # of the model's config, as text
    labels: tuple[str, ...]  # of the output that has a label file, in the order of the classes; empty if none has

    @property
    def input(self) -> TensorSpec:
        """The model's only input."""
        return next(iter(self.inputs.values()))

    @property
    def trained(self) -> bool:
        """Whether the weights are trained, not random numbers of a fixed seed."""
        return self.parameters.get("weights") != "untrained"

    @property
    def warning(self) -> str | None:
        """What callers must know of the answers."""
        return self.parameters.get("warning")

    def label(self, class_index: int) -> str:
        """A class's label, or its number where the model has no label for it."""
        return self.labels[class_index] if class_index < len(self.labels) else str(class_index)
