"""The formats of files that can be added: how each is recognised, in which environment it is read, and by which module.

A module has three functions:

    describe(path: Path, hints: Hints) -> Description
    build(path: Path, plan: Plan, artefact: Path) -> None
    reference(path: Path, plan: Plan, samples: NDArray) -> dict[str, NDArray]

`describe` says what looking at the file finds; hints are what the user states. `build` writes the artefact that Plan
describes. `reference` runs the original in its own framework, with pre- and post-processing that is written separately
and naively: samples are UINT8 [N,H,W,C] RGB of the input's size, or FP32 [N,length], and the answers are those of the
artefact, by name. All raise ExportError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from exporters.adding.refusals import head, members, named, refusal
from exporters.errors import UnknownFormatError


@dataclass(frozen=True)
class Format:
    """A format."""

    title: str  # for messages
    recognises: Callable[[Path], bool]  # whether a file or folder is of this format, by its content
    environment: str | None  # that reads it: None for the one that serves, "torch" or "tensorflow"
    module: str  # with describe, build and reference


def _has(path: Path, *endings: str) -> bool:
    names = members(path)
    return all(any(name == ending or name.endswith("/" + ending) for name in names) for ending in endings)


def _is_onnx(path: Path) -> bool:
    """A ModelProto begins with ir_version, a small number, in exporters' files; others are recognised by the suffix."""
    start = head(path)[:1]
    if path.suffix.lower() == ".onnx":
        return start in (b"\x08", b"\x12", b"\x3a", b"\x42", b"\x72")
    return start == b"\x08" and named(path) is None


def _is_torchscript(path: Path) -> bool:
    names = members(path)
    return _has(path, "constants.pkl") and any("/code/" in name for name in names)


def _is_pt2(path: Path) -> bool:
    """torch.export's archive: of PyTorch 2.8 and later, or of those before."""
    names = members(path)
    return _has(path, "archive_format") or "serialized_exported_program.json" in names


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _is_keras(path: Path) -> bool:
    return _has(path, "config.json", "metadata.json")


def _is_darknet(path: Path) -> bool:
    return path.suffix.lower() in (".weights", ".cfg") and path.is_file() and not _is_keras(path)


def _is_hugging_face(path: Path) -> bool:
    models = ("model.onnx", "onnx/model.onnx", "model.safetensors")
    return (path / "config.json").is_file() and any((path / model).is_file() for model in models)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "savedmodel": Format("a SavedModel", _is_saved_model, "tensorflow", "exporters.adding.saved_models"),
        "huggingface": Format("a folder of Hugging Face's", _is_hugging_face, None, "exporters.adding.hugging_face"),
        "keras": Format("a .keras file", _is_keras, "tensorflow", "exporters.adding.keras_files"),
        "pt2": Format("a program of torch.export", _is_pt2, "torch", "exporters.adding.pt2"),
        "torchscript": Format("TorchScript", _is_torchscript, "torch", "exporters.adding.torchscripts"),
        "darknet": Format("Darknet's", _is_darknet, None, "exporters.adding.darknet_files"),
        "onnx": Format("an ONNX model", _is_onnx, None, "exporters.adding.onnx_files"),
    }
)


def recognise(path: Path) -> str:
    """The format of a file or folder: a key of FORMATS. Its content decides, not its name.

    Raises:
        UnknownFormatError: it is missing or damaged, or is of a format that is not served; the message says how it is
            converted.
    """
    if not path.exists():
        raise UnknownFormatError(f"there is no file {path}")
    found = next((name for name, known in FORMATS.items() if known.recognises(path)), None)
    if found is None:
        raise UnknownFormatError(refusal(path))
    return found
