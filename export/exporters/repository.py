"""The model repository: versions that appear completely or not at all, and the tracked files beside them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exporters.config import FILENAME, Config, read_config, to_pbtxt
from exporters.errors import ConfigInvalidError
from exporters.files import UNFINISHED, content_sha256, flush, locked, replace_file, sweep, writing
from exporters.golden import Golden, write_golden
from exporters.safety import refuse_dangerous
from exporters.weights import PROJECT, Provenance

REPOSITORY = PROJECT / "model_repository"
LABELS = "labels.txt"
GPU_CONFIG = Path("configs") / "gpu.pbtxt"  # read instead of config.pbtxt with --model-config-name=gpu


@dataclass(frozen=True)
class Exported:
    """The result of an export: a row of the export table."""

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
    """Bring a model up to date: artefact, configurations, labels.txt and golden sample. Equal files are not rewritten.

    Args:
        model_dir: the model's folder; it is made where it is missing.
        filename: as Triton expects it: model.onnx, model.pt or model.savedmodel.
        build: writes the artefact to the path that it is given.
        config: without provenance, which is added here.
        golden: computed by the reference framework, never by the artefact.
        provenance: of the weights in the artefact.
        labels: the lines of labels.txt; empty where the model has no classes.
        verify: raises ArtefactRefusedError if the artefact does not answer as the reference does.
        identity: a digest that is equal for the same model; for formats whose bytes differ from run to run.

    Raises:
        ArtefactRefusedError: the artefact is dangerous or failed `verify`.
        RepositoryError: the repository cannot be written.
    """
    with locked(model_dir):
        version, changed = write_version(model_dir, filename, build, verify, identity)
        stated = {**config.parameters, **provenance.parameters()}
        changed |= write_config(model_dir, Config(**{**vars(config), "parameters": stated}))
        changed |= write_labels(model_dir, labels)
        changed |= write_golden(model_dir, golden)
    artefact = model_dir / str(version) / filename
    files = [artefact] if artefact.is_file() else [path for path in artefact.rglob("*") if path.is_file()]
    return Exported(version, changed, sum(path.stat().st_size for path in files), provenance)


def models(repository: Path) -> tuple[str, ...]:
    """The names of the models in a repository, exported or not, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in repository.glob(f"*/{FILENAME}")))


def versions(model_dir: Path) -> list[int]:
    """The version numbers that Triton sees, lowest first."""
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
    """Build an artefact in a hidden folder, check it, and make it the next version unless the newest one is the same.

    Returns:
        The version that holds this artefact, and whether it is new.

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
    """Write config.pbtxt, and configs/gpu.pbtxt for a model that gains from a GPU. Returns whether one changed."""
    present = None
    with suppress(ConfigInvalidError):
        present = read_config(model_dir / FILENAME)
    changed = replace_file(model_dir / FILENAME, to_pbtxt(config, present=present).encode())
    if config.gpu_instances:
        changed |= replace_file(model_dir / GPU_CONFIG, to_pbtxt(config, gpu=True).encode())
    return changed


def write_labels(model_dir: Path, labels: Sequence[str]) -> bool:
    """Write labels.txt, one label a line, if there are any. Returns whether it changed."""
    if not labels:
        return False
    return replace_file(model_dir / LABELS, "".join(f"{label}\n" for label in labels).encode())


@contextmanager
def _staging(model_dir: Path) -> Iterator[Path]:
    """A folder beside the versions, whose name Triton ignores. Those that killed exports have left are removed."""
    sweep(model_dir)
    sweep(model_dir / "golden")
    staging = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=model_dir))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
