"""SavedModels by OpenVINO, which reads them itself, for repositories that say platform: "tensorflow_savedmodel"."""

from collections.abc import Sequence
from pathlib import Path

import openvino
from modelport_backend import TensorSpec
from openvino_model import OpenVINOModel, by_name


class TritonPythonModel(OpenVINOModel):
    """One SavedModel's serving_default."""

    artefact = "model.savedmodel"
    threads_parameter = "TF_NUM_INTRA_THREADS"

    def readable(self, path: Path) -> Path:
        """The artefact itself."""
        return path

    def order(self, kind: str, specs: Sequence[TensorSpec], found: Sequence[openvino.Output]) -> list[int]:
        """By the names of the signature."""
        return by_name(self.batches)(kind, specs, found)
