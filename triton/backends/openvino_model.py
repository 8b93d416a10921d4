"""OpenVINO on the processor, for the backends whose artefacts it reads: TorchScript (converted) and SavedModel."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import openvino
from modelport_backend import BackendError, BatchedModel, Tensors, TensorSpec, thread_count

# float32 as in the framework, not bfloat16 where the processor has it. Models share the cores of a machine or a pod:
# threads that are pinned would share the first ones. One request at a time is Triton's rule for an instance.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
    "NUM_STREAMS": 1,
}


class OpenVINOModel(BatchedModel):
    """A compiled network. The order of its tensors is settled once, when it is loaded."""

    threads_parameter: str

    @abstractmethod
    def readable(self, path: Path) -> Path:
        """The file or folder that OpenVINO reads in place of the artefact."""

    @abstractmethod
    def order(self, kind: str, specs: Sequence[TensorSpec], found: Sequence[openvino.Output]) -> list[int]:
        """For each tensor of config.pbtxt the place of its counterpart in the artefact, checked against it."""

    def load(self, path: Path, parameters: Mapping[str, str]) -> None:
        """Compile the network with the C++ backend's thread parameter (0: OpenVINO chooses)."""
        settings = {**SETTINGS, "INFERENCE_NUM_THREADS": thread_count(parameters, self.threads_parameter)}
        try:
            compiled = openvino.Core().compile_model(self.readable(path), "CPU", settings)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot load {path.name}: {_last_line(error)}") from error
        self.input_order = self.order("input", self.inputs, compiled.inputs)
        self.output_order = self.order("output", self.outputs, compiled.outputs)
        self.request = compiled.create_infer_request()

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one inference; they are copies, which the next one leaves alone.

        With one thread, the synchronous `infer` of OpenVINO 2026.4 hides an error in a network with dynamic shapes and
        leaves the outputs of the inference before; `wait` raises it.
        """
        given = {place: inputs[spec.name] for place, spec in zip(self.input_order, self.inputs, strict=True)}
        try:
            self.request.start_async(given, share_inputs=True)
            self.request.wait()
        except RuntimeError as error:
            raise BackendError(_last_line(error)) from error
        return {
            spec.name: self.request.get_output_tensor(place).data.copy()
            for place, spec in zip(self.output_order, self.outputs, strict=True)
        }


def spec_of(name: str, tensor: openvino.Output) -> tuple[str, tuple[int, ...]]:
    """Type and shape of a network's tensor; -1 stands for any size.

    Raises:
        BackendError: its number of dimensions is unknown.
    """
    shape = tensor.partial_shape
    if shape.rank.is_dynamic:
        raise BackendError(f"'{name}' has no known rank in the artefact")
    return tensor.element_type.to_dtype().name, tuple(-1 if d.is_dynamic else d.get_length() for d in shape)


def _last_line(error: RuntimeError) -> str:
    """What is wrong, without the places in OpenVINO's source that it was passed through."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
