"""`python -m exporters.conversion MODEL_DIR ...`: TorchScript for OpenVINO, which serves it where there is no PyTorch.

The converted network is kept under the hash of model.pt: it belongs to that content, whatever the folder is called.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.errors import ArtefactRefusedError, ExportError
from exporters.files import UNFINISHED, content_sha256
from exporters.weights import PROJECT

CONVERTED = PROJECT / "build" / "converted"
FILENAME = "model.pt"
# How far OpenVINO may be off PyTorch, as a share of the range of PyTorch's answer to the same noise.
RELATIVE_TOLERANCE = 1e-3
_ROWS = 2
_SEED = 7

Shape = Sequence[int]


def converted_path(artefact: Path) -> Path:
    """Where the converted form of a model.pt is kept, whether it is there or not."""
    return CONVERTED / f"{content_sha256(artefact)}.xml"


def convert(artefact: Path, inputs: Sequence[tuple[Shape, np.dtype[Any]]]) -> Path:
    """Convert a model.pt and compare the two on noise, unless that has been done.

    Args:
        artefact: the file; it has been checked to be harmless, or is trusted.
        inputs: shape without the batch dimension, and dtype, of each argument of forward.

    Returns:
        The file that OpenVINO reads; its weights lie beside it.

    Raises:
        ArtefactRefusedError: OpenVINO cannot read it, or answers differently.
    """
    target = converted_path(artefact)
    if target.is_file():
        return target
    import openvino
    import torch

    from exporters.torchscript import load_artefact

    module = load_artefact(artefact)
    described = [([-1, *shape], openvino.Type(dtype)) for shape, dtype in inputs]
    try:
        network = openvino.convert_model(module, input=described)
    except Exception as exc:  # its exceptions have no common base
        reason = str(exc).strip().splitlines()[-1]
        raise ArtefactRefusedError(f"{artefact.name}: OpenVINO cannot read it ({reason})") from exc
    batch = [_noise((_ROWS, *shape), dtype) for shape, dtype in inputs]
    with torch.inference_mode():
        answer = module(*(torch.from_numpy(array) for array in batch))
    expected = [tensor.numpy() for tensor in (answer if isinstance(answer, tuple | list) else [answer])]
    CONVERTED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=CONVERTED) as folder:
        fresh = Path(folder) / target.name
        openvino.save_model(network, fresh, compress_to_fp16=False)
        _compare(artefact.name, fresh, batch, expected)
        fresh.with_suffix(".bin").replace(target.with_suffix(".bin"))
        fresh.replace(target)  # last: it is what others look for
    return target


def _noise(shape: Shape, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    generator = np.random.default_rng(_SEED)
    if dtype == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    return np.zeros(shape, dtype) if dtype.kind in "iub" else generator.normal(size=shape).astype(dtype)


def _compare(name: str, path: Path, batch: list[npt.NDArray[Any]], expected: list[npt.NDArray[Any]]) -> None:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = list(compiled(batch).values())
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
    """Convert the newest version in each folder of a model."""
    from exporters.inspection import read_inputs
    from exporters.repository import versions

    for folder in map(Path, folders):
        try:
            convert(folder / str(versions(folder)[-1]) / FILENAME, read_inputs(folder / "config.pbtxt"))
        except (ExportError, OSError) as exc:
            sys.stderr.write(f"error: {folder.name}: {exc}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
