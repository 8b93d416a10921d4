"""TorchScript on CPU for repositories whose config.pbtxt says platform: "pytorch_libtorch"."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

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
        try:
            with torch.inference_mode():
                answer = self.module(*(torch.from_numpy(inputs[name]) for name in self.input_names))
        except RuntimeError as error:  # a page of TorchScript's stack; what is wrong stands in the last line
            raise BackendError(str(error).strip().splitlines()[-1]) from error
        answers = answer if isinstance(answer, (tuple, list)) else (answer,)
        if len(answers) < len(self.output_names):
            raise BackendError(f"forward gives {len(answers)} outputs, config.pbtxt names {self.output_names}")
        return {name: tensor.numpy(force=True) for name, tensor in zip(self.output_names, answers, strict=False)}


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
