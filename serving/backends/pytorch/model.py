"""TorchScript on CPU for repositories whose config.pbtxt says platform: "pytorch_libtorch".

oneDNN's graph compiler fuses what it knows for the shapes that it has seen, and keeps the weights in the order in
which its convolutions read them; the interpreter brings them into that order in every call. Measured a picture, without
and with it: wide ResNet 289 and 187 ms on two threads, EfficientNet-Lite0 19 and 16 ms and MobileNetV2 20 and 11 ms on
one. Batches gain nothing any more, so that rows go through one by one: there is one shape to compile for.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from modelport_backend import BackendError, BatchedModel, Tensors, TensorSpec, thread_count

# A request's tensor is read where Triton put it. Modules that write to their input would be the first.
warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)


class TritonPythonModel(BatchedModel):
    """One scripted or traced module. Its tensors have no names: NAME__INDEX in config.pbtxt says which is which."""

    artefact = "model.pt"

    def load(self, path: Path, parameters: Mapping[str, str]) -> None:
        """Load the module with the C++ backend's thread parameters."""
        intra, inter = (thread_count(parameters, f"{kind}_OP_THREAD_COUNT") for kind in ("INTRA", "INTER"))
        if intra:
            torch.set_num_threads(intra)
        if inter:
            torch.set_num_interop_threads(inter)
        torch.jit.enable_onednn_fusion(True)
        self.input_names = _by_index("input", self.inputs)
        self.output_names = _by_index("output", self.outputs)
        try:
            self.module = torch.jit.load(path, map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"PyTorch cannot load {path.name}: {str(error).strip()}") from error
        arguments = [argument.name for argument in self.module.forward.schema.arguments if argument.name != "self"]
        if len(arguments) != len(self.inputs):
            raise BackendError(f"forward takes {arguments}, config.pbtxt names {self.input_names}")

    def run(self, inputs: Tensors) -> Tensors:
        """Outputs of one call of forward."""
        tensors = [torch.from_numpy(inputs[name]) for name in self.input_names]
        if not self.batches:
            return dict(zip(self.output_names, self._call(tensors), strict=True))
        rows = zip(*(tensor.split(1) for tensor in tensors), strict=True)
        outputs = zip(*(self._call(row) for row in rows), strict=True)
        return {name: np.concatenate(parts) for name, parts in zip(self.output_names, outputs, strict=True)}

    def _call(self, arguments: Sequence[torch.Tensor]) -> list[npt.NDArray]:
        """The outputs that config.pbtxt names, in its order."""
        try:
            with torch.inference_mode():
                answer = self.module(*arguments)
        except RuntimeError as error:  # a page of TorchScript's stack; what is wrong stands in the last line
            raise BackendError(str(error).strip().splitlines()[-1]) from error
        answers = answer if isinstance(answer, (tuple, list)) else (answer,)
        if len(answers) < len(self.output_names):
            raise BackendError(f"forward gives {len(answers)} outputs, config.pbtxt names {self.output_names}")
        return [tensor.numpy(force=True) for tensor in answers[: len(self.output_names)]]


def _by_index(kind: str, specs: Sequence[TensorSpec]) -> list[str]:
    """Names in the order of their index."""
    found = {}
    for spec in specs:
        match = re.fullmatch(r".+__(\d+)", spec.name)
        if match is None:
            raise BackendError(f"{kind} '{spec.name}' must be written NAME__INDEX, such as {spec.name}__0")
        found[int(match[1])] = spec.name
    if sorted(found) != list(range(len(specs))):
        raise BackendError(f"{kind} indices must run from 0 to {len(specs) - 1}: {[spec.name for spec in specs]}")
    return [found[index] for index in range(len(specs))]
