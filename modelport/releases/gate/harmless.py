"""Is everything in the release needed, and nothing of it able to run, or to read other files?"""

from __future__ import annotations

import re
from pathlib import Path

from exporters import safety
from exporters.errors import ArtefactRefusedError
from exporters.repository import versions
from modelport.releases.errors import GateError
from modelport.releases.gate.configs import read_config

ARTEFACTS = {
    "onnxruntime_onnx": r"model\.onnx",
    "pytorch_libtorch": r"model\.pt",
    "tensorflow_savedmodel": r"model\.savedmodel/saved_model\.pb",
}
BESIDE = r"config\.pbtxt|labels\.txt|golden/\w+\.(json|png)|configs/\w+\.pbtxt"
MAX_BYTES = 2_000_000_000


def check_files(folder: Path) -> None:
    """Refuse links, files that no model needs, and empty ones, which KServe's storage initializer leaves behind in S3.

    Raises:
        GateError: names the file.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise GateError(f"{name} is a link or no plain file: put the file itself there")
        if path.is_file() and path.stat().st_size == 0:
            raise GateError(f"{name} is empty, and S3 would not hand it on: remove it or export the model again")
    for model_dir in sorted(folder.iterdir()):
        platform = read_config(model_dir / "config.pbtxt").platform
        if platform not in ARTEFACTS:
            raise GateError(f"{model_dir.name} is of platform {platform!r}: only {', '.join(ARTEFACTS)} are harmless")
        expected = re.compile(rf"{BESIDE}|{versions(model_dir)[-1]}/{ARTEFACTS[platform]}", re.ASCII)
        for path in model_dir.rglob("*"):
            name = path.relative_to(model_dir).as_posix()
            if path.is_file() and not expected.fullmatch(name):
                raise GateError(f"{model_dir.name}/{name} is not needed to serve the model: remove it")


def check_size(folder: Path) -> None:
    """Refuse a release that a pod's storage is not meant for.

    Raises:
        GateError: it is larger than MAX_BYTES.
    """
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_BYTES:
        raise GateError(
            f"{size / 1e9:.1f} GB are more than {MAX_BYTES / 1e9:g} GB, the limit of a release: export less"
        )


def check_nothing_runs(folder: Path) -> None:
    """Refuse artefacts that read other files or need others' operators.

    What a graph of TensorFlow or TorchScript does is read by its framework: see gate/artefacts.py.

    Raises:
        GateError: names the model and what it does.
    """
    for model_dir in sorted(folder.iterdir()):
        version_dir = model_dir / str(versions(model_dir)[-1])
        try:
            safety.refuse_dangerous(version_dir)
        except ArtefactRefusedError as exc:
            raise GateError(f"{model_dir.name}: {exc}") from exc
        except Exception as exc:
            reason = str(exc).strip().partition("\n")[0]
            raise GateError(f"{model_dir.name} cannot be read ({reason}): export the model again") from exc
