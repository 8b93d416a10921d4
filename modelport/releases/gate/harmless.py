"""Checks that a release contains only what serving needs, and nothing that can run or read other files."""

import re
from pathlib import Path

from exporters import safety
from exporters.errors import ArtefactRefusedError
from exporters.quantising.artefact import FOLDER
from exporters.repository import versions
from modelport.releases.errors import GateError
from modelport.releases.gate.configs import read_config
from modelport.releases.gate.int8 import FILES

ARTEFACTS = {
    "onnxruntime_onnx": r"model\.onnx",
    "pytorch_libtorch": r"model\.pt",
    "tensorflow_savedmodel": r"model\.savedmodel/saved_model\.pb",
}
BESIDE = r"config\.pbtxt|labels\.txt|golden/\w+\.(json|png)|configs/\w+\.pbtxt"
MAX_BYTES = 2_000_000_000


def check_files(folder: Path) -> None:
    """Refuse links, files that serving does not need, and empty files, which KServe does not download from S3.

    Raises:
        GateError: names the file.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise GateError(f"{name} is a link or not a regular file: put the file itself there")
        if path.is_file() and path.stat().st_size == 0:
            raise GateError(f"{name} is empty, and KServe does not download empty files from S3: remove it")
    for model_dir in sorted(folder.iterdir()):
        platform = read_config(model_dir / "config.pbtxt").platform
        if platform not in ARTEFACTS:
            raise GateError(f"{model_dir.name} is of platform {platform!r}: use one of: {', '.join(ARTEFACTS)}")
        artefacts = rf"{versions(model_dir)[-1]}/({ARTEFACTS[platform]}|{FOLDER}/({FILES}))"
        expected = re.compile(rf"{BESIDE}|{artefacts}", re.ASCII)
        for path in model_dir.rglob("*"):
            name = path.relative_to(model_dir).as_posix()
            if path.is_file() and not expected.fullmatch(name):
                raise GateError(f"{model_dir.name}/{name} is not needed to serve the model: remove it")


def check_size(folder: Path) -> None:
    """Refuse a release that is larger than MAX_BYTES.

    Raises:
        GateError: states both sizes.
    """
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_BYTES:
        raise GateError(
            f"{size / 1e9:.1f} GB are more than {MAX_BYTES / 1e9:g} GB, the limit of a release: export less"
        )


def check_nothing_runs(folder: Path) -> None:
    """Refuse ONNX artefacts that read other files or use operators that ONNX does not define.

    Artefacts of TensorFlow and PyTorch are checked in their frameworks' environments: see gate/artefacts.py.

    Raises:
        GateError: names the model and what it does.
    """
    for model_dir in sorted(folder.iterdir()):
        try:
            safety.refuse_dangerous(model_dir / str(versions(model_dir)[-1]))
        except ArtefactRefusedError as exc:
            raise GateError(f"{model_dir.name}: {exc}") from exc
        except Exception as exc:  # onnx and protobuf have no common base of exceptions
            raise unreadable(model_dir, exc) from exc


def unreadable(model_dir: Path, reason: object) -> GateError:
    """The error for an artefact that its framework cannot read."""
    first = str(reason).strip().partition("\n")[0]
    return GateError(f"{model_dir.name} cannot be read ({first}): export the model again")
