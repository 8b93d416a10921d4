"""The model repository: versions that appear whole or not at all, and the tracked files beside them."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from exporters.config import Config, to_pbtxt
from exporters.errors import ArtefactRefusedError
from exporters.files import content_sha256, flush, replace_file, writing
from exporters.weights import PROJECT, Provenance

REPOSITORY = PROJECT / "model_repository"
_STAGING = ".building-"


@dataclass(frozen=True)
class Expected:
    """The leading rows of the reference's output (batch dimension removed), and how near they must be met."""

    values: npt.NDArray[np.generic]
    atol: float


@dataclass(frozen=True)
class Golden:
    """A sample request and the answer that it must give.

    Attributes:
        inputs: by tensor name; UINT8 [H,W,3] (RGB) or [H,W,1] is kept as a picture, anything else as JSON.
        outputs: by tensor name.
    """

    inputs: Mapping[str, npt.NDArray[np.generic]]
    outputs: Mapping[str, Expected]


@dataclass(frozen=True)
class Exported:
    """One row of the export table."""

    version: int
    changed: bool
    artefact_bytes: int
    provenance: Provenance


def publish(
    model_dir: Path,
    *,
    filename: str,
    build: Callable[[Path], None],
    config: Config,
    golden: Golden,
    provenance: Provenance,
    labels: Sequence[str] = (),
    verify: Callable[[Path], None] = lambda artefact: None,
    identity: Callable[[Path], str] = content_sha256,
) -> Exported:
    """Bring one model up to date: artefact, config.pbtxt, labels.txt and golden sample. What is right is left alone.

    Args:
        model_dir: the model's folder; it is made where it is missing.
        filename: as Triton expects it: model.onnx, model.pt or model.savedmodel.
        build: writes the artefact to the path that it is given.
        config: without provenance; that is added here.
        golden: from the reference framework, never from the artefact.
        provenance: of the weights in the artefact.
        labels: of labels.txt; none where the model has none.
        verify: raises ArtefactRefusedError if the artefact does not answer as the reference did.
        identity: equal for artefacts that are the same model; for formats whose bytes differ from run to run.
    """
    with _locked(model_dir):
        version, changed = write_version(model_dir, filename, build, verify, identity)
        stated = {**config.parameters, **provenance.parameters()}
        changed |= write_config(model_dir, Config(**{**vars(config), "parameters": stated}))
        changed |= write_labels(model_dir, labels)
        changed |= write_golden(model_dir, golden)
    artefact = model_dir / str(version) / filename
    files = [artefact] if artefact.is_file() else [path for path in artefact.rglob("*") if path.is_file()]
    return Exported(version, changed, sum(path.stat().st_size for path in files), provenance)


def versions(model_dir: Path) -> list[int]:
    """The version numbers that Triton would see, lowest first."""
    if not model_dir.is_dir():
        return []
    return sorted(int(path.name) for path in model_dir.iterdir() if path.name.isdecimal() and path.name[0] != "0")


def write_version(
    model_dir: Path,
    filename: str,
    build: Callable[[Path], None],
    verify: Callable[[Path], None] = lambda artefact: None,
    identity: Callable[[Path], str] = content_sha256,
) -> tuple[int, bool]:
    """Build an artefact aside, check it, and give it the next version number, unless the newest version is the same.

    Returns:
        The version that holds this artefact, and whether it is a new one.

    Raises:
        ArtefactRefusedError: the artefact is dangerous or failed `verify`.
        RepositoryError: the repository cannot be written.
    """
    with writing(model_dir), _staging(model_dir) as staging:
        build(staging / filename)
        refuse_dangerous(staging)
        verify(staging / filename)
        newest = max(versions(model_dir), default=0)
        current = model_dir / str(newest) / filename
        if newest and current.exists() and identity(current) == identity(staging / filename):
            return newest, False
        flush(staging)
        staging.chmod(0o755)
        staging.rename(model_dir / str(newest + 1))
        return newest + 1, True


def write_config(model_dir: Path, config: Config) -> bool:
    """Write config.pbtxt. Returns whether it changed."""
    return replace_file(model_dir / "config.pbtxt", to_pbtxt(config).encode())


def write_labels(model_dir: Path, labels: Sequence[str]) -> bool:
    """Write labels.txt, one label a line; no labels, no file. Returns whether it changed."""
    if not labels:
        return False
    return replace_file(model_dir / "labels.txt", "".join(f"{label}\n" for label in labels).encode())


def write_golden(model_dir: Path, golden: Golden) -> bool:
    """Write golden/. Returns whether anything changed.

    An answer that differs from the present one by a tenth of its tolerance at most is left as it is: another
    processor rounds differently, and that is no new answer.
    """
    changed = False
    for name, value in golden.inputs.items():
        changed |= _write_input(model_dir / "golden", name, value)
    path = model_dir / "golden" / "answer.json"
    if _agrees(path, golden.outputs):
        return changed
    outputs = {
        name: {"values": _rounded(expected.values), "atol": expected.atol} for name, expected in golden.outputs.items()
    }
    return replace_file(path, (json.dumps({"outputs": outputs}, indent=1) + "\n").encode()) or changed


def refuse_dangerous(folder: Path) -> None:
    """Refuse a version folder with links in it, or with an ONNX model that reads other files.

    Raises:
        ArtefactRefusedError: names the file.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtefactRefusedError(f"{path.name} is a link or no plain file: an artefact must hold all of its data")


def _write_input(folder: Path, name: str, value: npt.NDArray[np.generic]) -> bool:
    if value.dtype != np.uint8:
        return replace_file(folder / f"{name}.json", (json.dumps(_rounded(value)) + "\n").encode())
    path = folder / f"{name}.png"
    # Another release of libpng compresses the same pixels to other bytes.
    if path.is_file() and np.array_equal(read_picture(path), value):
        return False
    bgr = cv2.cvtColor(value, cv2.COLOR_RGB2BGR) if value.shape[-1] == 3 else value
    return replace_file(path, cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Read a golden picture: UINT8 [H,W,3], RGB, or [H,W,1]."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels[..., np.newaxis]
    return np.asarray(rgb, np.uint8)


def _agrees(path: Path, outputs: Mapping[str, Expected]) -> bool:
    if not path.is_file():
        return False
    present = json.loads(path.read_text())["outputs"]
    if present.keys() != outputs.keys():
        return False
    for name, expected in outputs.items():
        values = np.asarray(present[name]["values"])
        if values.shape != expected.values.shape or present[name]["atol"] != expected.atol:
            return False
        if not np.allclose(values, expected.values, rtol=0, atol=expected.atol / 10):
            return False
    return True


def _rounded(values: npt.NDArray[np.generic]) -> object:
    return np.round(values.astype(np.float64), 6).tolist() if values.dtype.kind == "f" else values.tolist()


@contextmanager
def _locked(model_dir: Path) -> Iterator[None]:
    """Let one export at a time change a model's folder. The lock is the folder itself, and ends with the process."""
    with writing(model_dir):
        model_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(model_dir, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _staging(model_dir: Path) -> Iterator[Path]:
    """A folder beside the versions whose name Triton ignores; what killed exports left of theirs goes first."""
    model_dir.mkdir(parents=True, exist_ok=True)
    for left in model_dir.glob(f"{_STAGING}*"):
        shutil.rmtree(left)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=model_dir))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
