"""TorchScript by OpenVINO, for repositories that say platform: "pytorch_libtorch".

OpenVINO reads TorchScript with PyTorch's help only. `modelport export` has it do so once, compares the answers, and
keeps the result under the hash of model.pt and the inputs of config.pbtxt; serving imports no PyTorch.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import openvino
from modelport_backend import BackendError, TensorSpec, check_signature, without_batch
from openvino_model import OpenVINOModel, spec_of

CONVERTED = "MODELPORT_CONVERTED"  # names the folder of what was converted


class TritonPythonModel(OpenVINOModel):
    """One module. Its tensors have no names: NAME__INDEX in config.pbtxt says which is which."""

    artefact = "model.pt"
    threads_parameter = "INTRA_OP_THREAD_COUNT"

    def readable(self, path: Path) -> Path:
        """What model.pt was converted to; exporters/conversion.py gives it its name."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        order = indices("input", self.inputs)
        inputs = [self.inputs[order.index(place)] for place in range(len(order))]
        name = "_".join([digest, *("x".join([spec.dtype, *map(str, spec.dims)]) for spec in inputs)])
        converted = Path(os.environ.get(CONVERTED, ".")) / f"{name}.xml"
        if not converted.is_file():
            raise BackendError(f"{path.name} has not been converted for OpenVINO: run `make export`")
        return converted

    def order(self, kind: str, specs: Sequence[TensorSpec], found: Sequence[openvino.Output]) -> list[int]:
        """By the index at the end of each name."""
        order = indices(kind, specs)
        if len(found) < len(specs) or (kind == "input" and len(found) > len(specs)):
            raise BackendError(f"the artefact has {len(found)} {kind}s, config.pbtxt names {len(specs)}")
        described = []
        for spec, place in zip(specs, order, strict=True):
            dtype, shape = spec_of(spec.name, found[place])
            described.append(TensorSpec(spec.name, dtype, without_batch(spec.name, shape, self.batches)))
        check_signature(kind, specs, described)
        return order


def indices(kind: str, specs: Sequence[TensorSpec]) -> list[int]:
    """The index at the end of each tensor's name.

    Raises:
        BackendError: a name has none, or they do not run from 0 on.
    """
    order = []
    for spec in specs:
        match = re.fullmatch(r".+__(\d+)", spec.name)
        if match is None:
            raise BackendError(f"{kind} '{spec.name}' must be written NAME__INDEX, such as {spec.name}__0")
        order.append(int(match[1]))
    if sorted(order) != list(range(len(specs))):
        names = [spec.name for spec in specs]
        raise BackendError(f"{kind} indices must run from 0 to {len(specs) - 1}: {names}")
    return order
