"""SavedModels by OpenVINO, which reads them itself, for repositories that say platform: "tensorflow_savedmodel"."""

from collections.abc import Sequence
from pathlib import Path

import openvino
from modelport_backend import TensorSpec, check_signature, without_batch
from openvino_model import OpenVINOModel, spec_of


class TritonPythonModel(OpenVINOModel):
    """One SavedModel's serving_default."""

    artefact = "model.savedmodel"
    threads_parameter = "TF_NUM_INTRA_THREADS"

    def readable(self, path: Path) -> Path:
        """The artefact itself."""
        return path

    def order(self, kind: str, specs: Sequence[TensorSpec], found: Sequence[openvino.Output]) -> list[int]:
        """By the names of the signature."""
        places = {name: place for place, tensor in enumerate(found) for name in tensor.names}
        wanted = {spec.name for spec in specs}
        described = []
        for name, place in places.items():
            if name in wanted or not wanted & set(found[place].names):  # a tensor may have other names beside it
                dtype, shape = spec_of(name, found[place])
                described.append(TensorSpec(name, dtype, without_batch(name, shape, self.batches)))
        check_signature(kind, specs, described)
        return [places[spec.name] for spec in specs]
