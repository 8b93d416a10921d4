"""OpenVINO on the processor, for the backends whose artefacts it reads: TorchScript (converted) and SavedModel."""

import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
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

# With one thread, a batch saves no more than calls. From so much processor time on, a row needs less in a network that
# is compiled for exactly one: its memory is laid out once.
SLOW_ROW_S = 0.001

# For each tensor of config.pbtxt the place of its counterpart in a network, checked against it: of "input" or "output".
Order = Callable[[str, Sequence[TensorSpec], Sequence[openvino.Output]], list[int]]


class Network:
    """A compiled network and its one inference request. The order of its tensors is settled once.

    A slow network with one thread is compiled for one row, and takes the rows of a batch one after another.
    """

    def __init__(
        self,
        path: Path,
        threads: int,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        batches: bool,
        order: Order,
    ) -> None:
        """Compile it.

        Args:
            path: what OpenVINO reads.
            threads: for one inference; 0: OpenVINO chooses.
            inputs: as config.pbtxt describes them.
            outputs: likewise.
            batches: whether the model batches.
            order: says which tensor of the network is which.

        Raises:
            BackendError: OpenVINO cannot read it, or `order` refuses it.
        """
        core, settings = openvino.Core(), {**SETTINGS, "INFERENCE_NUM_THREADS": threads}
        self.row_by_row = False
        try:
            compiled = core.compile_model(path, "CPU", settings)
            self.inputs = list(zip(order("input", inputs, compiled.inputs), inputs, strict=True))
            self.outputs = list(zip(order("output", outputs, compiled.outputs), outputs, strict=True))
            self.request = compiled.create_infer_request()
            if batches and threads == 1 and self._row_s() > SLOW_ROW_S:
                with contextlib.suppress(RuntimeError):  # a network that takes no fixed size serves as it is
                    model = core.read_model(path)
                    model.reshape({place: [1, *spec.dims] for place, spec in self.inputs})
                    self.request = core.compile_model(model, "CPU", settings).create_infer_request()
                    self.row_by_row = True
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot load {path.name}: {_last_line(error)}") from error

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of a batch; they are copies, which the next one leaves alone."""
        if not self.row_by_row:
            return self._infer(inputs)
        count = len(next(iter(inputs.values())))
        rows = [self._infer({name: batch[row : row + 1] for name, batch in inputs.items()}) for row in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _infer(self, inputs: Tensors) -> Tensors:
        """Outputs of one inference.

        With one thread, the synchronous `infer` of OpenVINO 2026.4 hides an error in a network with dynamic shapes and
        leaves the outputs of the inference before; `wait` raises it.
        """
        try:
            self.request.start_async({place: inputs[spec.name] for place, spec in self.inputs}, share_inputs=True)
            self.request.wait()
        except RuntimeError as error:
            raise BackendError(_last_line(error)) from error
        return {spec.name: self.request.get_output_tensor(place).data.copy() for place, spec in self.outputs}

    def _row_s(self) -> float:
        """Seconds of processor time that a row of zeros needs at least; 0.0 where its size is unknown or it fails."""
        if any(-1 in spec.dims for _, spec in self.inputs):
            return 0.0
        row = {spec.name: np.zeros((1, *spec.dims), spec.dtype) for _, spec in self.inputs}
        times = [time.process_time()]
        for _ in range(4):
            try:
                self._infer(row)
            except BackendError:  # not every network takes zeros
                return 0.0
            times.append(time.process_time())
        return min(after - before for before, after in pairwise(times))


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
        self.network = Network(self.readable(path), threads, self.inputs, self.outputs, self.batches, self.order)

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
