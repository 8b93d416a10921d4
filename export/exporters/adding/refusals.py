"""What is said of files that cannot be added: what they are, and how they become something that can."""

import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

_HEAD_BYTES = 1024
_SUPPORTED = (
    "ONNX, TorchScript, torch.export's .pt2, SavedModel, .keras, Darknet and Hugging Face's folders can be added"
)
_PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".bin", ".sav")
_TO_ONNX = "torch.onnx.export(network.eval(), (torch.zeros(1, 3, 224, 224),), 'model.onnx', dynamo=True)"

# By suffix: what the file is, and what to do.
_NAMED: Mapping[tuple[str, ...], str] = {
    (".h5", ".hdf5"): (
        "is HDF5, Keras' former format: save it as .keras: "
        "python -c \"import keras; keras.models.load_model('{name}', compile=False).save('{stem}.keras')\""
    ),
    (
        ".tflite",
        ".lite",
    ): "is a TensorFlow Lite model, made for telephones: add the SavedModel or .keras file that it was made from",
    (
        ".mlmodel",
        ".mlpackage",
    ): "is a CoreML model, which runs on Apple's machines only: add the model that it was made from",
    (".engine", ".plan", ".trt"): (
        "is an engine of TensorRT, which runs on the GPU that it was built on: add the ONNX file that it was built from"
    ),
    (".gguf", ".ggml"): "is a language model (GGUF): Modelport serves models of images and windows of series",
    (".safetensors",): (
        "holds weights without a network: add the folder that also has its config.json and "
        "preprocessor_config.json, or export the network to ONNX"
    ),
    (".npz", ".npy"): "holds arrays without a network: export the network to ONNX",
    (
        ".pb",
        ".pbtxt",
    ): "is a graph of TensorFlow by itself: add the folder of its SavedModel, which has saved_model.pb in it",
    (
        ".index",
        ".meta",
        ".data-00000-of-00001",
    ): "is a checkpoint of TensorFlow: save the model as .keras or SavedModel",
    (".caffemodel", ".prototxt"): "is a Caffe model: convert it to ONNX",
    (".xml",): "is OpenVINO's: add the ONNX file, TorchScript or SavedModel that it was converted from",
    (".mar",): "is an archive of TorchServe: unpack it and add the model file in it",
    (".pte", ".ptl"): "is made for telephones (ExecuTorch): add the .pt2 file or TorchScript that it was made from",
    (".names", ".txt", ".json", ".yaml", ".yml"): "is a text, no model",
}
# By how the content begins, which precedes the suffix.
_BEGINNINGS: Mapping[bytes, str] = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself: run `git lfs pull`",
    b"<!DOCTYPE": "is a web page, not a model: download the file itself",
    b"<html": "is a web page, not a model: download the file itself",
    b"GGUF": _NAMED[".gguf", ".ggml"],
    b"ptrt": _NAMED[".engine", ".plan", ".trt"],
    b"ftrt": _NAMED[".engine", ".plan", ".trt"],
    b"\x89HDF": _NAMED[".h5", ".hdf5"],
}
_TFLITE = b"TFL3"  # after the offset of FlatBuffers' root


def named(path: Path) -> str | None:
    """What is to be done with files of this suffix; None where they may be models that can be added."""
    return next((text for suffixes, text in _NAMED.items() if path.suffix.lower() in suffixes), None)


def head(path: Path) -> bytes:
    """The first bytes of a file; none of a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def members(path: Path) -> tuple[str, ...]:
    """The names in a ZIP archive; none where the file is no archive."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return ()
    with zipfile.ZipFile(path) as archive:
        return tuple(archive.namelist())


def refusal(path: Path) -> str:
    """Why a file or folder of no known format cannot be added, and what to do."""
    start = head(path)
    told = next((text for beginning, text in _BEGINNINGS.items() if start.startswith(beginning)), None)
    if told is None and start[4:8] == _TFLITE:
        told = _NAMED[".tflite", ".lite"]
    if told is None and path.is_file() and not start:
        told = "is empty"
    if told is None:
        told = _of_pickle(path)
    if told is None:
        told = named(path)
    if told is None and path.is_dir():
        told = f"is a folder with neither saved_model.pb nor config.json and a model in it: {_SUPPORTED}"
    told = told or f"is of no format that is known, or damaged: {_SUPPORTED}"
    return f"{path.name} {told.format(name=path.name, stem=path.stem) if '{name}' in told else told}"


def _of_pickle(path: Path) -> str | None:
    """What to do with a pickle, which is never loaded: it could run any code. None where the file is none."""
    names = _named_by_pickle(path)
    if names is None:
        return None
    what = "is a pickle, which can run any code when it is loaded"
    packages = {name.partition(".")[0] for name in names}
    if packages & {"ultralytics", "models"}:  # YOLOv5's own repository calls its package `models`
        return f"{what}: export it with `yolo export model={{name}} format=onnx`"
    if packages & {"sklearn", "xgboost", "lightgbm"}:
        return f"{what}, of scikit-learn's kind: convert it with skl2onnx"
    if any(name.startswith("torch.nn.modules") for name in names) or packages - _PLAIN:
        network = "network = torch.load('{name}', weights_only=False)"
        return f'{what}: if you trust it, convert it to ONNX: python -c "import torch; {network}; {_TO_ONNX}"'
    return (
        f"{what}, and holds weights without a network: make the network in Python, call "
        f"network.load_state_dict(torch.load('{{name}}')), and then {_TO_ONNX}"
    )


# What the pickle of a state dict names.
_PLAIN = {"torch", "collections", "numpy", "builtins", "__builtin__", "_codecs"}


def _named_by_pickle(path: Path) -> set[str] | None:
    """The classes and functions that a pickle names, which is read and never loaded; None: the file is no pickle."""
    inner = next((name for name in members(path) if name.endswith("data.pkl")), None)
    if inner is not None:
        with zipfile.ZipFile(path) as archive, archive.open(inner) as stream:
            return _globals(stream)
    if path.is_file() and (head(path)[:1] == b"\x80" or path.suffix.lower() in _PICKLES):
        with path.open("rb") as stream:
            return _globals(stream) or (set() if path.suffix.lower() in _PICKLES else None)
    return None


def _globals(stream: IO[bytes]) -> set[str]:
    """What the pickles in a stream name, as far as they can be read: PyTorch's former format is several in a row."""
    found: set[str] = set()
    strings: list[str] = []
    try:
        while True:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    found.add(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    found.add(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile):  # the end, or what follows the pickles
        return found
