"""`python -m exporters.conversion MODEL_DIR ...`: TorchScript for OpenVINO, which serves it without PyTorch.

A converted network is kept under the sha256 of its model.pt and the inputs that it was converted for: it belongs to
these, wherever the file lies. The PyTorch backend (triton/backends/pytorch/model.py) looks for that name. The folder
is a cache: `make export` and `make serve` convert again what is missing from it.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import config, torchscript
from exporters.errors import ArtefactRefusedError, ExportError, RepositoryError, last_line
from exporters.files import UNFINISHED, content_sha256, flush, locked, sweep
from exporters.repository import versions
from exporters.weights import PROJECT

CONVERTED = PROJECT / "build" / "converted"
MAX_BYTES = 4_000_000_000
# Largest difference of OpenVINO's answer to noise from PyTorch's: a share of the range of the answer, and for an answer
# that is nearly constant the rounding of its largest value.
RELATIVE_TOLERANCE = 1e-3
_ROUNDING = 1e-6
_SEED = 7

Arrays = list[npt.NDArray[Any]]


def inputs_of(model_dir: Path) -> list[Any]:
    """The ModelInput messages of a TorchScript model's config.pbtxt, in the order of forward.

    Raises:
        ArtefactRefusedError: a name has no index, or a type is not a number's.
        ConfigInvalidError: config.pbtxt is missing or malformed.
    """
    inputs = torchscript.by_index(config.read_config(model_dir / config.FILENAME).input)
    for tensor in inputs:
        if config.dtype(tensor).kind not in "biuf":
            raise ArtefactRefusedError(f"tensor {tensor.name} has a type that is not supported: use a number type")
    return inputs


def converted_path(artefact: Path, inputs: Sequence[Any]) -> Path:
    """The file that OpenVINO reads instead of a model.pt, whether it exists or not; its weights are beside it, .bin."""
    described = ["x".join([config.dtype(tensor).name, *map(str, tensor.dims)]) for tensor in inputs]
    return CONVERTED / f"{'_'.join([content_sha256(artefact), *described])}.xml"


def convert_newest(model_dir: Path) -> Path:
    """Convert the newest version of a TorchScript model, and compare both on noise, unless that has been done.

    One process converts at a time; others wait, and find what it has converted.

    Args:
        model_dir: with config.pbtxt and versions. Its artefact has been checked to be harmless, or is trusted.

    Returns:
        The file that OpenVINO reads.

    Raises:
        ArtefactRefusedError: OpenVINO cannot read the artefact, or answers differently.
        ConfigInvalidError: config.pbtxt is missing or malformed.
        RepositoryError: there is no version, or the result cannot be written.
    """
    found = versions(model_dir)
    if not found:
        raise RepositoryError(f"{model_dir} has no version: export the model")
    artefact = model_dir / str(found[-1]) / torchscript.FILENAME
    inputs = inputs_of(model_dir)
    target = converted_path(artefact, inputs)
    with locked(CONVERTED):
        if target.is_file():
            target.touch()  # the least recently used are removed first
            return target
        _remove_leftovers()
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=CONVERTED) as folder:
            fresh = Path(folder) / target.name
            _convert(artefact, inputs, fresh)
            flush(Path(folder))
            fresh.with_suffix(".bin").replace(target.with_suffix(".bin"))
            fresh.replace(target)  # last: a network is there once its .xml is
        _remove_excess(target)
    return target


def served_answer(model_dir: Path, batch: Arrays) -> Arrays:
    """The answer of a converted model as Modelport's Triton backend calls it: by OpenVINO.

    Args:
        model_dir: of a model whose newest version has been converted.
        batch: the inputs, in the order of forward.

    Returns:
        The outputs, in order.
    """
    artefact = model_dir / str(versions(model_dir)[-1]) / torchscript.FILENAME
    return _answer(converted_path(artefact, inputs_of(model_dir)), batch)


def _answer(network: Path, batch: Arrays) -> Arrays:
    import openvino

    compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(batch).values())


def _remove_leftovers() -> None:
    """Remove what killed conversions have left behind; the lock is held."""
    sweep(CONVERTED)
    for weights in CONVERTED.glob("*.bin"):
        if not weights.with_suffix(".xml").exists():
            weights.unlink()


def _remove_excess(newest: Path) -> None:
    """Remove the least recently used networks beyond MAX_BYTES, except for the newest; the lock is held."""
    total = 0
    for network in sorted(CONVERTED.glob("*.xml"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        weights = network.with_suffix(".bin")
        total += network.stat().st_size + weights.stat().st_size
        if total > MAX_BYTES and network != newest:
            network.unlink()
            weights.unlink()


def _convert(artefact: Path, inputs: Sequence[Any], target: Path) -> None:
    import openvino

    batch = [_noise(torchscript.probe_shape(tensor), config.dtype(tensor)) for tensor in inputs]
    described = [([-1, *tensor.dims], openvino.Type(config.dtype(tensor))) for tensor in inputs]
    try:
        module = torchscript.load_artefact(artefact)
        expected = torchscript.call(module, batch)
        openvino.save_model(openvino.convert_model(module, input=described), target, compress_to_fp16=False)
        found = _answer(target, batch)
    except OSError:
        raise
    except Exception as exc:  # those of PyTorch and OpenVINO have no common base
        raise ArtefactRefusedError(f"{artefact.name} cannot be converted for OpenVINO ({last_line(exc)})") from exc
    _require_agreement(artefact.name, found, expected)


def _noise(shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Pixels or normal values; zeros for other integers, which may be indices that must stay in some range."""
    generator = np.random.default_rng(_SEED)
    if dtype == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    return generator.normal(size=shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)


def _require_agreement(name: str, found: Arrays, expected: Arrays) -> None:
    """Compare OpenVINO's outputs with PyTorch's."""
    if len(found) != len(expected):
        raise ArtefactRefusedError(f"{name} has {len(found)} outputs in OpenVINO, {len(expected)} in PyTorch")
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise ArtefactRefusedError(
                f"{name}: output {index} is {one.dtype}{list(one.shape)} in OpenVINO, "
                f"{other.dtype}{list(other.shape)} in PyTorch"
            )
        values, reference = one.astype(np.float64), other.astype(np.float64)
        extent = np.ptp(reference) if reference.size else 0.0
        allowed = RELATIVE_TOLERANCE * extent + _ROUNDING * np.abs(reference).max(initial=0.0)
        off = np.abs(values - reference).max(initial=0.0)
        if not off <= allowed:
            raise ArtefactRefusedError(
                f"{name}: output {index} differs by {off:.2g} between OpenVINO and PyTorch, more than {allowed:.2g}"
            )


def main(model_dirs: Sequence[str]) -> int:
    """Convert models, with one line for each that cannot be converted. Returns the exit code."""
    failed = 0
    for model_dir in map(Path, model_dirs):
        try:
            convert_newest(model_dir)
        except (ExportError, OSError) as exc:
            sys.stderr.write(f"error: {model_dir.name}: {exc}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
