"""OpenVINO on the processor, for the backends whose artefacts it reads: TorchScript (converted) and SavedModel."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import openvino
from modelport_backend import (
    BackendError,
    BatchedModel,
    Tensors,
    TensorSpec,
    check_signature,
    thread_count,
    without_batch,
)

# float32 as in the framework, not bfloat16 where the processor has it. Models share the cores of a machine or a pod:
# threads that are pinned would share the first ones. One request at a time is Triton's rule for an instance.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
    "NUM_STREAMS": 1,
}


# For each tensor of config.pbtxt the place of its counterpart in a network, checked against it: of "input" or "output".
Order = Callable[[str, Sequence[TensorSpec], Sequence[openvino.Output]], list[int]]


class Network:
    """A compiled network and its one inference request. The order of its tensors is settled once."""

    def __init__(
        self, path: Path, threads: int, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], order: Order
    ) -> None:
        """Compile it.

        Args:
            path: what OpenVINO reads.
            threads: for one inference; 0: OpenVINO chooses.
            inputs: as config.pbtxt describes them.
            outputs: likewise.
            order: says which tensor of the network is which.

        Raises:
            BackendError: OpenVINO cannot read it, or `order` refuses it.
        """
        try:
            compiled = openvino.Core().compile_model(path, "CPU", {**SETTINGS, "INFERENCE_NUM_THREADS": threads})
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot load {path.name}: {_last_line(error)}") from error
        self.inputs = list(zip(order("input", inputs, compiled.inputs), inputs, strict=True))
        self.outputs = list(zip(order("output", outputs, compiled.outputs), outputs, strict=True))
        self.request = compiled.create_infer_request()

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one inference; they are copies, which the next one leaves alone.

        With one thread, the synchronous `infer` of OpenVINO 2026.4 hides an error in a network with dynamic shapes and
        leaves the outputs of the inference before; `wait` raises it.
        """
        try:
            self.request.start_async({place: inputs[spec.name] for place, spec in self.inputs}, share_inputs=True)
            self.request.wait()
        except RuntimeError as error:
            raise BackendError(_last_line(error)) from error
        return {spec.name: self.request.get_output_tensor(place).data.copy() for place, spec in self.outputs}


class OpenVINOModel(BatchedModel):
    """A model that OpenVINO runs."""

    @abstractmethod
    def readable(self, path: Path) -> Path:
        """The file or folder that OpenVINO reads in place of the artefact."""

    @abstractmethod
    def order(self, kind: str, specs: Sequence[TensorSpec], found: Sequence[openvino.Output]) -> list[int]:
        """See `Order`."""

    def load(self, path: Path, parameters: Mapping[str, str]) -> None:
        """Compile the network with the C++ backend's thread parameter (0: OpenVINO chooses)."""
        threads = thread_count(parameters, self.threads_parameter)
        self.network = Network(self.readable(path), threads, self.inputs, self.outputs, self.order)

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one inference."""
        return self.network.run(inputs)


def by_name(batches: bool) -> Order:
    """The order of a network whose tensors have the names of config.pbtxt."""

    def order(kind: str, specs: Sequence[TensorSpec], found: Sequence[openvino.Output]) -> list[int]:
        places = {name: place for place, tensor in enumerate(found) for name in tensor.names}
        wanted = {spec.name for spec in specs}
        described = []
        for name, place in places.items():
            if name in wanted or not wanted & set(found[place].names):  # a tensor may have other names beside it
                dtype, shape = spec_of(name, found[place])
                described.append(TensorSpec(name, dtype, without_batch(name, shape, batches)))
        check_signature(kind, specs, described)
        return [places[spec.name] for spec in specs]

    return order


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
