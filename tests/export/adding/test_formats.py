"""Files are recognised by their content; what cannot be added is told how it becomes something that can."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
from onnx_files import save_classifier

from exporters.adding.formats import recognise
from exporters.errors import UnknownFormatError


def archive(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


class Fraction(OrderedDict):
    """A class that only its own project has."""


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [
        ("m.pt", {"m/code/__torch__.py": b"", "m/constants.pkl": b"", "m/data.pkl": b""}, "torchscript"),
        ("m.bin", {"m/code/__torch__.py": b"", "m/constants.pkl": b""}, "torchscript"),
        ("m.pt2", {"m/archive_format": b"pt2"}, "pt2"),
        ("old.pt2", {"serialized_exported_program.json": b"{}"}, "pt2"),
        ("m.keras", {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b""}, "keras"),
    ],
)
def test_archives(name, members, expected, tmp_path):
    archive(tmp_path / name, **members)
    assert recognise(tmp_path / name) == expected


def test_files_and_folders(tmp_path):
    assert recognise(save_classifier(tmp_path / "m.onnx")) == "onnx"
    for folder, files, expected in (
        ("saved", ("saved_model.pb",), "savedmodel"),
        ("hub", ("config.json", "onnx/model.onnx"), "huggingface"),
    ):
        for file in files:
            (tmp_path / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / file).touch()
        assert recognise(tmp_path / folder) == expected
    (tmp_path / "m.weights").write_bytes(b"\0" * 20)
    assert recognise(tmp_path / "m.weights") == "darknet"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.pt", pickle.dumps(Fraction(), 2), r"torch\.load\('m\.pt'.*torch\.onnx\.export"),
        ("m.pth", pickle.dumps(OrderedDict(a=1), 2), "holds weights without a network.*load_state_dict"),
        ("m.pt", b"\x80\x02cultralytics.nn.tasks\nDetectionModel\n.", "yolo export model=m.pt format=onnx"),
        ("m.pkl", b"\x80\x02csklearn.svm\nSVC\n.", "skl2onnx"),
        ("m.joblib", b"\x80\x04\x8c\x0bsklearn.svm\x94\x8c\x03SVC\x94\x93.", "skl2onnx"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", r"save\('m\.keras'\)"),
        ("m.tflite", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        ("renamed.onnx", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        ("m.mlmodel", b"\x08\x01", "CoreML"),
        ("m.engine", b"ftrt\0", "TensorRT"),
        ("m.gguf", b"GGUF\x03", "GGUF"),
        ("m.safetensors", b"\x10\0\0\0\0\0\0\0{}", "config.json"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("m.onnx", b"<!DOCTYPE html>", "web page"),
        ("m.onnx", b"", "is empty"),
        ("m.xyz", b"what", "no format that is known"),
    ],
)
def test_other_files_are_refused_by_name(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnknownFormatError, match=message):
        recognise(tmp_path / name)


def test_pickles_are_never_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    archive(tmp_path / "m.pt", **{"m/data.pkl": pickle.dumps(Evil()), "m/version": b"3"})
    with pytest.raises(UnknownFormatError, match="can run any code"):
        recognise(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(UnknownFormatError, match="there is no file"):
        recognise(tmp_path / "none.onnx")
    with pytest.raises(UnknownFormatError, match="is a folder with neither"):
        recognise(tmp_path)
