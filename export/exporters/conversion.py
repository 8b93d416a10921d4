"""`python -m exporters.conversion MODEL_DIR ...`: TorchScript for OpenVINO, which serves it where there is no PyTorch.

The converted network is kept under the hash of model.pt and the inputs that it was converted for: it belongs to these,
whatever the folder is called. The PyTorch backend (triton/backends/pytorch/model.py) looks for the same name.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.errors import ArtefactRefusedError, ExportError
from exporters.files import UNFINISHED, content_sha256, writing
from exporters.weights import PROJECT

CONVERTED = PROJECT / "build" / "converted"
FILENAME = "model.pt"
# How far OpenVINO may be off PyTorch, as a share of the range of PyTorch's answer to the same noise.
RELATIVE_TOLERANCE = 1e-3
_ROWS = 2
_SEED = 7

Shape = Sequence[int]
Inputs = Sequence[tuple[Shape, np.dtype[Any]]]


def converted_path(artefact: Path, inputs: Inputs) -> Path:
    """Where the converted form of a model.pt is kept, whether it is there or not. Arguments as of `convert`."""
    described = ["x".join([dtype.name, *map(str, shape)]) for shape, dtype in inputs]
    return CONVERTED / f"{'_'.join([content_sha256(artefact), *described])}.xml"


def convert(artefact: Path, inputs: Inputs) -> Path:
    """Convert a model.pt and compare the two on noise, unless that has been done.

    Args:
        artefact: the file; it has been checked to be harmless, or is trusted.
        inputs: shape without the batch dimension, and dtype, of each argument of forward.

    Returns:
        The file that OpenVINO reads; its weights lie beside it.

    Raises:
        ArtefactRefusedError: PyTorch or OpenVINO cannot read or run it, or they answer differently.
    """
    target = converted_path(artefact, inputs)
    if target.is_file():
        return target
    import openvino
    import torch

    from exporters.torchscript import load_artefact

    batch = [_noise((_ROWS, *(max(size, 1) for size in shape)), dtype) for shape, dtype in inputs]
    with _refusing(artefact.name, "PyTorch cannot run it"):
        module = load_artefact(artefact)
        with torch.inference_mode():
            answer = module(*(torch.from_numpy(array) for array in batch))
        expected = [tensor.numpy() for tensor in (answer if isinstance(answer, tuple | list) else [answer])]
    with writing(CONVERTED):
        CONVERTED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=CONVERTED) as folder:
            fresh = Path(folder) / target.name
            with _refusing(artefact.name, "OpenVINO cannot run it"):
                described = [([-1, *shape], openvino.Type(dtype)) for shape, dtype in inputs]
                openvino.save_model(openvino.convert_model(module, input=described), fresh, compress_to_fp16=False)
                compiled = openvino.Core().compile_model(fresh, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
                found = list(compiled(batch).values())
            _compare(artefact.name, found, expected)
            fresh.with_suffix(".bin").replace(target.with_suffix(".bin"))
            fresh.replace(target)  # last: it is what others look for
    return target


@contextmanager
def _refusing(name: str, complaint: str) -> Iterator[None]:
    """Turn whatever a framework makes of an artefact, which has no common base, into one line."""
    try:
        yield
    except Exception as exc:
        raise ArtefactRefusedError(f"{name}: {complaint} ({last_line(exc)})") from exc


def last_line(error: Exception) -> str:
    """What is wrong: frameworks say first, on many lines, where in their sources it was noticed."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _noise(shape: Shape, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    generator = np.random.default_rng(_SEED)
    if dtype == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    return np.zeros(shape, dtype) if dtype.kind in "iub" else generator.normal(size=shape).astype(dtype)


def _compare(name: str, found: list[npt.NDArray[Any]], expected: list[npt.NDArray[Any]]) -> None:
    if len(found) != len(expected):
        raise ArtefactRefusedError(f"{name}: OpenVINO gives {len(found)} outputs, PyTorch {len(expected)}")
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise ArtefactRefusedError(
                f"{name}: output {index} is {one.dtype}{list(one.shape)} by OpenVINO, "
                f"{other.dtype}{list(other.shape)} by PyTorch"
            )
        allowed = RELATIVE_TOLERANCE * (float(np.ptp(other)) if other.size else 0.0)
        off = float(np.max(np.abs(one.astype(np.float64) - other.astype(np.float64)), initial=0.0))
        if not off <= allowed:
            raise ArtefactRefusedError(f"{name}: OpenVINO's output {index} is off PyTorch's by {off:.2g}")


def main(folders: Sequence[str]) -> int:
    """Convert the newest version in each model's folder; one line for each that cannot be. Returns the exit code."""
    from exporters.inspection import read_inputs
    from exporters.repository import versions

    failed = 0
    for folder in map(Path, folders):
        try:
            convert(folder / str(versions(folder)[-1]) / FILENAME, read_inputs(folder / "config.pbtxt"))
        except (ExportError, OSError) as exc:
            sys.stderr.write(f"error: {folder.name}: {exc}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
