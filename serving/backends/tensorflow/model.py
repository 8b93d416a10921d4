"""TensorFlow on CPU for repositories whose config.pbtxt says platform: "tensorflow_savedmodel"."""

import os
from collections.abc import Mapping
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # errors only; read when TensorFlow is imported

import tensorflow
from modelport_backend import (
    BackendError,
    BatchedModel,
    Tensors,
    TensorSpec,
    check_signature,
    thread_count,
    without_batch,
)

SIGNATURE = "serving_default"


class TritonPythonModel(BatchedModel):
    """One SavedModel's serving_default: a concrete function, never keras.Model.predict."""

    artefact = "model.savedmodel"

    def load(self, path: Path, parameters: Mapping[str, str]) -> None:
        """Load the SavedModel with the C++ backend's thread parameters."""
        threading = tensorflow.config.threading
        threading.set_intra_op_parallelism_threads(thread_count(parameters, "TF_NUM_INTRA_THREADS"))
        threading.set_inter_op_parallelism_threads(thread_count(parameters, "TF_NUM_INTER_THREADS"))
        try:
            self.loaded = tensorflow.saved_model.load(path)  # the function lives as long as this
            self.function = self.loaded.signatures[SIGNATURE]
        except (OSError, ValueError, KeyError, tensorflow.errors.OpError) as error:
            raise BackendError(f"TensorFlow cannot load {SIGNATURE} of {path.name}: {error}") from error
        declared = self.function.structured_input_signature[1]
        check_signature("input", self.inputs, [self._spec(name, spec) for name, spec in declared.items()])
        outputs = self.function.structured_outputs
        check_signature("output", self.outputs, [self._spec(name, spec) for name, spec in outputs.items()])

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one call."""
        answers = self.function(**{name: tensorflow.constant(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in answers.items()}

    def _spec(self, name: str, declared: "tensorflow.TensorSpec") -> TensorSpec:
        if declared.shape.rank is None:
            raise BackendError(f"'{name}' has no known rank in the artefact")
        shape = tuple(-1 if size is None else size for size in declared.shape)
        return TensorSpec(name, declared.dtype.name, without_batch(name, shape, self.batches))
