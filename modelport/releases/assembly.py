"""What goes into a release: of each model its tracked files and its newest version."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import numpy as np

from exporters.files import content_sha256
from exporters.repository import versions
from exporters.weights import PROJECT
from kserve_transformers.settings import CHAINS
from modelport.environment import FRAMEWORKS
from modelport.releases.errors import NoReleaseError
from modelport.releases.gate.configs import read_config
from modelport.releases.gate.golden import read_sample
from modelport.releases.release import DIGITS, FileRecord, ModelRecord, Release, content_digest

STATED = ("weights", "weights_source", "weights_licence", "weights_sha256", "accuracy", "warning")
TRACKED = ("config.pbtxt", "labels.txt", "golden", "configs")
LEADING = 10  # values of a golden answer that release.json repeats
# What made and checked an artefact, by platform; all of them are checked with the rest.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime_onnx": ("onnx", "onnxruntime"),
    "pytorch_libtorch": ("torch", "torchvision"),
    "tensorflow_savedmodel": ("tensorflow-cpu", "keras"),
}
CHECKED_WITH = ("numpy", "tritonclient")


def models_of(service: str) -> tuple[str, ...]:
    """The models that answer for a service.

    Raises:
        NoReleaseError: there is no such service.
    """
    if service not in CHAINS:
        raise NoReleaseError(f"there is no service {service!r}: choose of {', '.join(CHAINS)}")
    return CHAINS[service]


def copy_models(repository: Path, models: Sequence[str], folder: Path) -> None:
    """Copy models out of a repository: contents only, and the newest version alone.

    Raises:
        NoReleaseError: a model was not exported.
    """
    for model in models:
        found = versions(repository / model)
        if not found:
            raise NoReleaseError(f"{repository / model} holds no artefact: run `make export MODEL={model}` first")
        for name in (*TRACKED, str(found[-1])):
            source, target = repository / model / name, folder / model / name
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, copy_function=shutil.copyfile)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target, follow_symlinks=False)


def describe(service: str, folder: Path) -> Release:
    """Say what lies in a folder of models; the date is now's.

    Raises:
        GateError: a config or a golden sample cannot be read.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    records = {name: FileRecord(content_sha256(path), path.stat().st_size) for name, path in files.items()}
    models = {path.name: _describe_model(path) for path in sorted(folder.iterdir())}
    now = datetime.now(UTC)
    wanted = [*(name for model in models.values() for name in PACKAGES.get(model.platform, ())), *CHECKED_WITH]
    commit = _git("rev-parse", "HEAD")
    return Release(
        service=service,
        name=f"{now:%Y-%m-%d}-{content_digest(records)[:DIGITS]}",
        created=now.isoformat(timespec="seconds"),
        models=models,
        files=records,
        untrained=tuple(name for name, model in models.items() if not model.trained),
        packages={name: _version(name) for name in dict.fromkeys(wanted)},
        commit=commit,
        dirty=bool(commit and _git("status", "--porcelain")),
    )


def _describe_model(model_dir: Path) -> ModelRecord:
    config = read_config(model_dir / "config.pbtxt")
    stated = {key: config.parameters[key].string_value for key in STATED if key in config.parameters}
    golden = {
        name: {
            "shape": list(output.values.shape),
            "leading": np.ravel(output.values)[:LEADING].tolist(),
            "atol": output.atol,
        }
        for name, output in read_sample(model_dir, config).outputs.items()
    }
    return ModelRecord(versions(model_dir)[-1], config.platform, stated, golden)


def _version(package: str) -> str:
    """Of a package in this environment or in a framework's."""
    layers = [folder for layer in FRAMEWORKS.values() for folder in layer.folder.glob("lib/python*/site-packages")]
    return next((found.version for found in distributions(name=package, path=[*sys.path, *map(str, layers)])), "none")


def _git(*arguments: str) -> str | None:
    """What git says of this checkout; None outside of one."""
    found = subprocess.run(["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None
