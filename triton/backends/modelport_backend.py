"""What our Python-based Triton backends share: checked tensors in, one batch through the model, checked tensors out.

A backend derives `TritonPythonModel` from `BatchedModel` and says how its artefact is loaded and run. All requests
that Triton hands to one `execute` go through the model together along axis 0. Should that fail, each goes alone, so
that one bad request fails alone.
"""

import ctypes
import json
import mmap
import os
import resource
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from int8 import Int8Network

Tensors = Mapping[str, npt.NDArray]

# The stub was built for numpy 1, which leaves DLPack as the only way in and out. It renames a capsule that it has
# consumed to "used_dlpack"; numpy's destructor knows "used_dltensor" only and logs a ValueError for any other name.
_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]
_CONSUMED = b"used_dltensor"  # a capsule keeps the pointer, not a copy


# Priorities below that of the servers, whose turns are short: of a model whose inference needs more than HEAVY_S of
# processor time, so that it does not hold up the others; and of a model that is loading.
HEAVY_S = 0.005
HEAVY_NICENESS = 10
LOAD_NICENESS = 15
_CAP_SYS_NICE = 1 << 23
MAPPED_WEIGHTS = ".bin"  # OpenVINO's


@contextmanager
def yielding() -> Iterator[None]:
    """Let this process yield to those that serve, while the block runs; only where it may take that back afterwards."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    if not capabilities & _CAP_SYS_NICE and resource.getrlimit(resource.RLIMIT_NICE)[0] < 20 - usual:
        yield
        return
    lower_priority(LOAD_NICENESS)
    try:
        yield
    finally:
        _set_niceness(usual)


def lower_priority(niceness: int) -> None:
    """Let all threads of this process yield to processes of the usual priority; whoever it is may do so."""
    _set_niceness(min(19, os.getpriority(os.PRIO_PROCESS, 0) + niceness))


def _set_niceness(niceness: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)


def give_back_weights() -> None:
    """Return memory that only loading needed: holes in the heap, and mapped weights, which a model has packed anew.

    A page of weights that an inference needs after all is read again, as a rule from the page cache.
    """
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, permissions, *_, path = line.split(maxsplit=5)
        if permissions.startswith("r--") and path.endswith(MAPPED_WEIGHTS):
            start, end = (int(address, 16) for address in place.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


class BackendError(Exception):
    """A request or an artefact does not fit config.pbtxt; the message says how."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as config.pbtxt or an artefact describes it."""

    name: str  # its name
    dtype: str  # numpy's name of its type
    dims: tuple[int, ...]  # shape without the batch dimension; -1 stands for any size

    @classmethod
    def from_config(cls, tensor: Mapping) -> "TensorSpec":
        """One entry of `input` or `output` in config.pbtxt."""
        dtype = pb_utils.TRITON_STRING_TO_NUMPY.get(tensor["data_type"], np.object_)
        if dtype is np.object_:
            raise BackendError(f"tensor '{tensor['name']}': {tensor['data_type']} is not supported, use a number type")
        return cls(tensor["name"], np.dtype(dtype).name, tuple(int(size) for size in tensor["dims"]))

    def accepts(self, dims: Sequence[int]) -> bool:
        """Whether a shape without batch dimension fits; unknown sizes fit on either side."""
        return len(dims) == len(self.dims) and all(
            size == own or -1 in (size, own) for size, own in zip(dims, self.dims, strict=True)
        )


class BatchedModel(ABC):
    """A Triton model that runs batches. Nothing of a request is kept on it."""

    artefact: str  # file or folder in the version's folder
    threads_parameter: str  # of config.pbtxt: threads of one inference

    @abstractmethod
    def load(self, path: Path, parameters: Mapping[str, str]) -> None:
        """Load the artefact; check it against `self.inputs` and `self.outputs` as far as it describes itself."""

    @abstractmethod
    def run(self, inputs: Tensors) -> Tensors:
        """Outputs for inputs of [rows, *dims]."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Called by Triton once, when the model is loaded."""
        config = json.loads(args["model_config"])
        self.batches = config["max_batch_size"] > 0
        self.inputs = tuple(TensorSpec.from_config(tensor) for tensor in config["input"])
        self.outputs = tuple(TensorSpec.from_config(tensor) for tensor in config["output"])
        folder = Path(args["model_repository"]) / args["model_version"]
        path = folder / (config["default_model_filename"] or self.artefact)
        if not path.exists():
            raise BackendError(f"version {folder.name} has no {path.name}: run `make export`")
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        with yielding():
            self.int8 = self._proven_int8(folder / "int8", parameters)
            if self.int8 is None:
                self.load(path, parameters)
            for rows in range(min(1, config["max_batch_size"]), min(2, config["max_batch_size"]) + 1):
                used_s = self._rehearse(rows)
        if used_s > HEAVY_S:
            lower_priority(HEAVY_NICENESS)
        give_back_weights()

    def execute(self, requests: Sequence) -> list:
        """Called by Triton with the requests that its batcher put together; one response each, in their order."""
        read = [self._read(request) for request in requests]
        answers = iter(self._answer([inputs for inputs in read if not isinstance(inputs, BackendError)]))
        outcomes = [inputs if isinstance(inputs, BackendError) else next(answers) for inputs in read]
        return [_failure(one) if isinstance(one, Exception) else _success(one) for one in outcomes]

    def _proven_int8(self, folder: Path, parameters: Mapping[str, str]) -> "Int8Network | None":
        """The int8 network beside the artefact, where there is one and this processor computes it well; says which."""
        if not folder.is_dir():
            return None
        from int8 import Int8Error, Int8Network

        threads = thread_count(parameters, self.threads_parameter)
        model = f"{folder.parent.parent.name} {folder.parent.name}"
        try:
            network = Int8Network(folder, threads, self.inputs, self.outputs, self.batches)
        except Int8Error as error:
            pb_utils.Logger.log_warn(f"model {model} serves fp32, not int8: {error}")
            return None
        pb_utils.Logger.log_info(f"model {model} serves int8: {network.passed}")
        return network

    def _answer(self, requests: Sequence[Tensors]) -> list[Tensors | Exception]:
        """Outputs or the failure of each request; together when that works, else one by one."""
        try:
            return self._run_together(requests) if requests else []
        except Exception as error:
            if len(requests) == 1:
                pb_utils.Logger.log_error(f"{type(error).__name__}: {error}")
                return [error]
            return [self._answer([request])[0] for request in requests]

    def _run_together(self, requests: Sequence[Tensors]) -> list[Tensors]:
        if len(requests) == 1:
            return [self._checked_run(requests[0])]
        joined = {spec.name: np.concatenate([request[spec.name] for request in requests]) for spec in self.inputs}
        outputs = self._checked_run(joined)
        edges = accumulate((len(request[self.inputs[0].name]) for request in requests), initial=0)
        return [{name: rows[start:stop] for name, rows in outputs.items()} for start, stop in pairwise(edges)]

    def _checked_run(self, inputs: Tensors) -> Tensors:
        outputs = (self.int8 or self).run(inputs)
        rows = (len(inputs[self.inputs[0].name]),) if self.batches else ()
        for spec in self.outputs:
            if spec.name not in outputs:
                raise BackendError(f"the model gives no output '{spec.name}', it gives {sorted(outputs)}")
            _check(outputs[spec.name], spec, "the model's output", self.batches)
            if rows and outputs[spec.name].shape[:1] != rows:
                raise BackendError(f"the model's output '{spec.name}' has {len(outputs[spec.name])} rows for {rows[0]}")
        return {spec.name: np.ascontiguousarray(outputs[spec.name]) for spec in self.outputs}

    def _read(self, request: object) -> Tensors | BackendError:
        """A request's inputs, where they are (no copy), or what is wrong with them."""
        arrays = {}
        try:
            for spec in self.inputs:
                tensor = pb_utils.get_input_tensor_by_name(request, spec.name)
                if tensor is None:
                    raise BackendError(f"input '{spec.name}' is missing")
                arrays[spec.name] = np.from_dlpack(tensor)
                _check(arrays[spec.name], spec, "input", self.batches)
            if self.batches and len({len(array) for array in arrays.values()}) > 1:
                raise BackendError("the inputs have different batch sizes")
        except BackendError as error:
            return error
        return arrays

    def _rehearse(self, rows: int) -> float:
        """Run zeros: what cannot answer is not loaded, and the first caller does not wait for kernels to be made.

        Returns:
            Seconds of processor time that a row needs once kernels are made; 0.0 for inputs of unknown size.
        """
        shapes = {spec.name: ((rows,) if self.batches else ()) + spec.dims for spec in self.inputs}
        if any(-1 in shape for shape in shapes.values()):
            return 0.0
        zeros = {spec.name: np.zeros(shapes[spec.name], spec.dtype) for spec in self.inputs}
        try:
            self._checked_run(zeros)
            before = time.process_time()
            self._checked_run(zeros)
        except Exception as error:
            raise BackendError(f"the model fails on zeros: {error}") from error
        return (time.process_time() - before) / max(1, rows)


def check_signature(kind: str, expected: Sequence[TensorSpec], found: Sequence[TensorSpec]) -> None:
    """Compare the tensors of config.pbtxt with those that an artefact declares.

    Raises:
        BackendError: a name, type or shape differs, or an input is not in config.pbtxt.
    """
    by_name = {spec.name: spec for spec in found}
    for spec in expected:
        other = by_name.get(spec.name)
        if other is None:
            raise BackendError(f"config.pbtxt names {kind} '{spec.name}', the artefact has {sorted(by_name)}")
        if other.dtype != spec.dtype:
            raise BackendError(f"{kind} '{spec.name}': {spec.dtype} in config.pbtxt, {other.dtype} in the artefact")
        if not spec.accepts(other.dims):
            dims = f"{list(spec.dims)} in config.pbtxt, {list(other.dims)} in the artefact"
            raise BackendError(f"{kind} '{spec.name}': dims {dims}")
    unnamed = set(by_name) - {spec.name for spec in expected}
    if kind == "input" and unnamed:
        raise BackendError(f"the artefact needs inputs that config.pbtxt does not name: {sorted(unnamed)}")


def without_batch(name: str, shape: tuple[int, ...], batches: bool) -> tuple[int, ...]:
    """An artefact's shape without its batch dimension.

    Raises:
        BackendError: it has to be batched and its first dimension is fixed.
    """
    if batches and shape[:1] != (-1,):
        raise BackendError(f"'{name}' has the fixed shape {list(shape)}: batching needs a free first dimension")
    return shape[1:] if batches else shape


def thread_count(parameters: Mapping[str, str], key: str) -> int:
    """A thread parameter of the C++ backends; 0, which leaves the choice to the framework, where it is not given.

    Raises:
        BackendError: it is not a number of threads.
    """
    text = parameters.get(key, "0")
    if not text.isdecimal():
        raise BackendError(f"parameter {key} is '{text}', it must be a number of threads")
    return int(text)


def _check(array: npt.NDArray, spec: TensorSpec, what: str, batches: bool) -> None:
    dims = array.shape[1:] if batches else array.shape
    if array.dtype != spec.dtype:
        raise BackendError(f"{what} '{spec.name}' is {array.dtype}, config.pbtxt says {spec.dtype}")
    if (batches and array.ndim == 0) or not spec.accepts(dims):
        raise BackendError(f"{what} '{spec.name}' has dims {list(dims)}, config.pbtxt says {list(spec.dims)}")


def _success(outputs: Tensors) -> object:
    return pb_utils.InferenceResponse([_to_triton(name, array) for name, array in outputs.items()])


def _failure(error: Exception) -> object:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error).partition("\n")[0]))


def _to_triton(name: str, array: npt.NDArray) -> object:
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    _rename_capsule(capsule, _CONSUMED)
    return tensor
