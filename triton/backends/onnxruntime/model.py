"""ONNX Runtime on CPU for repositories whose config.pbtxt says platform: "onnxruntime_onnx"."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime
from modelport_backend import (
    BackendError,
    BatchedModel,
    Tensors,
    TensorSpec,
    check_signature,
    thread_count,
    without_batch,
)

# ONNX Runtime's names of types; the others are numpy's own names
DTYPES = {"float": "float32", "double": "float64"}


class TritonPythonModel(BatchedModel):
    """One session over one model.onnx."""

    artefact = "model.onnx"
    threads_parameter = "intra_op_thread_count"

    def load(self, path: Path, parameters: Mapping[str, str]) -> None:
        """Open the session with the C++ backend's thread parameters; idle threads sleep, there are other models."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count(parameters, self.threads_parameter)
        options.inter_op_num_threads = thread_count(parameters, "inter_op_thread_count")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise BackendError(f"ONNX Runtime cannot load {path.name}: {error}") from error
        check_signature("input", self.inputs, [self._spec(node) for node in self.session.get_inputs()])
        check_signature("output", self.outputs, [self._spec(node) for node in self.session.get_outputs()])

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one run."""
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self.session.run(names, dict(inputs)), strict=True))

    def _spec(self, node: onnxruntime.NodeArg) -> TensorSpec:
        dtype = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
        return TensorSpec(node.name, DTYPES.get(dtype, dtype), without_batch(node.name, shape, self.batches))
