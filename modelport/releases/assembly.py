"""Collects a release: of each model its tracked files and its newest version, described by release.json."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from exporters.files import content_sha256
from exporters.quantising.artefact import summary
from exporters.repository import versions
from kserve_transformers.drift.reference import FILE as DRIFT_FILE
from modelport import services
from modelport.environment import git, installed_version
from modelport.releases.errors import NotFoundError
from modelport.releases.gate.configs import read_config
from modelport.releases.gate.golden import read_sample
from modelport.releases.gate.int8 import folder_of, read_proof
from modelport.releases.release import DIGITS, FileRecord, ModelRecord, Release, content_digest

PROVENANCE = ("weights", "weights_source", "weights_licence", "weights_sha256", "accuracy", "warning")
TRACKED = ("config.pbtxt", "labels.txt", "golden", "configs", DRIFT_FILE)
LEADING = 10  # values of a golden answer that release.json repeats
# The packages that made and checked an artefact, by its platform, and those that check every artefact.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime_onnx": ("onnx", "onnxruntime"),
    "pytorch_libtorch": ("torch", "torchvision", "openvino"),
    "tensorflow_savedmodel": ("tensorflow-cpu", "keras", "openvino"),
}
QUANTISED_WITH = ("nncf", "openvino")
CHECKED_WITH = ("numpy", "tritonclient")


def models_of(service: str) -> tuple[str, ...]:
    """The chain of models of a declared service.

    Raises:
        NotFoundError: there is no such service.
        DeclarationError: services.yaml is malformed.
    """
    declared = services.load()
    if service not in declared:
        raise NotFoundError(f"there is no service {service!r}: choose one of: {', '.join(declared)}")
    return declared[service].models


def copy_models(repository: Path, models: Sequence[str], folder: Path) -> None:
    """Copy models from a repository into a folder: contents without metadata, and only the newest version.

    Raises:
        NotFoundError: a model was not exported.
    """
    for path in _parts(repository, models):
        target = folder / path.relative_to(repository)
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True, copy_function=shutil.copyfile)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target, follow_symlinks=False)


def model_files(repository: Path, models: Sequence[str]) -> dict[str, str]:
    """The sha256 of every file that a release of these models would contain, by path.

    Raises:
        NotFoundError: a model was not exported.
    """
    parts = _parts(repository, models)
    files = (file for part in parts for file in ([part] if part.is_file() else part.rglob("*")) if file.is_file())
    return {file.relative_to(repository).as_posix(): content_sha256(file) for file in files}


def _parts(repository: Path, models: Sequence[str]) -> Iterator[Path]:
    """The files and folders of models that are released: what is tracked, and the newest version."""
    for model in models:
        found = versions(repository / model)
        if not found:
            raise NotFoundError(f"{repository / model} has no artefact: run `modelport export {model}` first")
        names = (*TRACKED, str(found[-1]))
        yield from (repository / model / name for name in names if (repository / model / name).exists())


def describe(service: str, folder: Path) -> Release:
    """Describe a folder of models as a release of now.

    Raises:
        GateError: a configuration or a golden sample cannot be read.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    records = {name: FileRecord(content_sha256(path), path.stat().st_size) for name, path in files.items()}
    models = {path.name: _describe_model(path) for path in sorted(folder.iterdir())}
    packages = [name for model in models.values() for name in PACKAGES.get(model.platform, ())]
    packages += [name for model in models.values() if "quantisation" in model.weights for name in QUANTISED_WITH]
    now = datetime.now(UTC)
    commit = git("rev-parse", "HEAD") or None
    return Release(
        service=service,
        name=f"{now:%Y-%m-%d}-{content_digest(records)[:DIGITS]}",
        created=now.isoformat(timespec="seconds"),
        models=models,
        files=records,
        untrained=tuple(name for name, model in models.items() if not model.trained),
        packages={name: installed_version(name) for name in dict.fromkeys((*packages, *CHECKED_WITH))},
        commit=commit,
        dirty=bool(commit and git("status", "--porcelain")),
    )


def _describe_model(model_dir: Path) -> ModelRecord:
    config = read_config(model_dir / "config.pbtxt")
    weights = {key: config.parameters[key].string_value for key in PROVENANCE if key in config.parameters}
    if int8 := folder_of(model_dir):
        weights["quantisation"] = summary(read_proof(int8))
    golden = {
        name: {
            "shape": list(output.values.shape),
            "leading": np.ravel(output.values)[:LEADING].tolist(),
            "atol": output.atol,
        }
        for name, output in read_sample(model_dir, config).outputs.items()
    }
    return ModelRecord(versions(model_dir)[-1], config.platform, weights, golden)
