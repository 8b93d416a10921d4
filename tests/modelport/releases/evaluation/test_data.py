"""Labelled data is read in every form, and what is wrong with it is told."""

import gzip
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluations import DIGITS

from exporters.errors import TrainingDataError
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.data import UNKNOWN, DataOptions, read_data
from modelport.releases.evaluation.labelled import LabelledData
from modelport.releases.evaluation.labels import known_labels
from modelport.services import load

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def digits(path: Path, **options) -> LabelledData:
    return read_data(DataOptions(path, **options), load()["digits"], DIGITS)


def right(data: LabelledData) -> list[tuple[str, str]]:
    return [(one.name, one.right.labels[0]) for one in data.samples]


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def test_class_folders(tmp_path):
    for name in ("3/b.PNG", "3/deep/a.jpg", "7/c.webp", "3/notes.txt", "3/.hidden.png", "loose.png", ".git/x.png"):
        write(tmp_path, **{name: name})
    (tmp_path / "5").mkdir()
    found = digits(tmp_path)
    assert right(found) == [("3/b.PNG", "3"), ("3/deep/a.jpg", "3"), ("7/c.webp", "7")]
    assert found.samples[0].content() == b"3/b.PNG"
    assert sorted(map(list, found.remarks.values())) == [["3/notes.txt", "loose.png"], ["5"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("file,label\na.png,3\n\nb.png,5\n", [("a.png", "3"), ("b.png", "5")], id="header, blank line"),
        pytest.param("a.png,3\r\nb.png,5\r\n", [("a.png", "3"), ("b.png", "5")], id="no header"),
        pytest.param("\ufeffid,Label,File\n1,3,a.png\n", [("a.png", "3")], id="other columns, BOM, case"),
        pytest.param('path,class\n"a,b.png",3\n', [("a,b.png", "3")], id="quoted comma"),
    ],
)
def test_csv_files(text, expected, tmp_path):
    write(tmp_path, labels__x=text)
    (tmp_path / "labels" / "x").rename(tmp_path / "labels.csv")
    assert right(digits(tmp_path / "labels.csv")) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "contains no labelled samples", id="empty"),
        pytest.param("file,label\n", "contains no labelled samples", id="only a header"),
        pytest.param("a.png;3\n", "has no columns file and label, separated by commas", id="semicolons"),
        pytest.param("file,label\na.png\n", "line 2: a file and its label are expected", id="no label"),
        pytest.param("file,label\na.png,  \n", "line 2: a file and its label are expected", id="blank label"),
        pytest.param("a.png,3\nb.png,4\na.png,5\n", "line 3: a.png stands in line 1, too", id="twice"),
        pytest.param("a.png,9\nb.png,yeti\n", "1 of 2 classes of the data are no labels", id="unknown class"),
        pytest.param('a.png,"3', "is not CSV in UTF-8", id="open quote"),
    ],
)
def test_csv_files_that_are_wrong(text, complaint, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=complaint):
        digits(path)
    path.write_bytes(b"a.png,\xff\n")
    with pytest.raises(EvaluationError, match="is not CSV in UTF-8"):
        digits(path)


def test_missing_files_of_a_csv_stay_samples(tmp_path):
    (tmp_path / "labels.csv").write_text("gone.png,3\n")
    (sample,) = digits(tmp_path / "labels.csv", images=tmp_path / "elsewhere").samples
    with pytest.raises(FileNotFoundError):
        sample.content()


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(packed, tmp_path):
    pixels = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 251
    for name, array in ((IMAGES, pixels), (LABELS, np.array([7, 2, 1]))):
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = digits(tmp_path)
    assert [label for _, label in right(found)] == ["7", "2", "1"]
    decoded = cv2.imdecode(np.frombuffer(found.samples[2].content(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (decoded == pixels[2]).all()
    assert right(digits(tmp_path / (IMAGES + ".gz" * packed))) == right(found)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        pytest.param({IMAGES: idx(np.zeros((1, 28, 28)))}, "t10k-labels-idx1-ubyte is missing", id="no labels"),
        pytest.param(
            {IMAGES: idx(np.zeros((2, 28, 28))), LABELS: idx(np.zeros(1))}, r"\(2, 28, 28\) .* do not fit", id="lengths"
        ),
        pytest.param(
            {IMAGES: b"", f"train{IMAGES}": b""}, "several sets of digits: name one of t10k-images", id="two sets"
        ),
        pytest.param({IMAGES: b"no", LABELS: idx(np.zeros(1))}, "is not an IDX file", id="damaged"),
    ],
)
def test_idx_files_that_are_wrong(files, complaint, tmp_path):
    with pytest.raises((EvaluationError, TrainingDataError), match=complaint):
        digits(write(tmp_path, **files))


def windows(path: Path) -> LabelledData:
    service = load()["anomaly"]
    return read_data(DataOptions(path), service, known_labels(service, path))


def test_windows(tmp_path):
    path = tmp_path / "windows.csv"
    path.write_text("label,v1,v2\nnormal,1,2.5\n1,3,4\nNot anomaly,5,6\n")
    found = windows(path)
    assert [label for _, label in right(found)] == ["not anomaly", "anomaly", "not anomaly"]
    assert found.samples[0].content().tolist() == [1, 2.5]
    assert found.samples[0].content().dtype == np.float32


@pytest.mark.parametrize("row", ["anomaly", "anomaly,1,x", "anomaly,1,", "anomaly,1,nan", ",1,2", "anomaly,1,inf"])
def test_windows_that_are_wrong(row, tmp_path):
    path = tmp_path / "windows.csv"
    path.write_text(f"normal,1,2\n{row}\n")
    with pytest.raises(EvaluationError, match="line 2: a label and then the numbers of a window are expected"):
        windows(path)


@pytest.mark.parametrize(
    ("service", "files", "name", "complaint"),
    [
        pytest.param("digits", {}, "", r"contains no labelled samples \(class folders\)", id="empty folder"),
        pytest.param("digits", {"a.json": "{}"}, "a.json", "no folder of class folders, no CSV", id="digits by COCO"),
        pytest.param("digits", {"train/3/a.png": "x"}, "", r"'train' \(1", id="classes one level deeper"),
        pytest.param(
            "detector", {"cup/a.png": "x"}, "", "is evaluated on boxes in COCO's format", id="boxes by folders"
        ),
        pytest.param("detector", {"a.json": "{}", "b.json": "{}"}, "", "one such file", id="two files of boxes"),
        pytest.param("anomaly", {"a.json": "[]"}, "a.json", "windows with labels", id="windows by JSON"),
    ],
)
def test_data_that_do_not_fit(service, files, name, complaint, tmp_path):
    write(tmp_path, **files)
    with pytest.raises(EvaluationError, match=complaint):
        read_data(DataOptions(tmp_path / name), load()[service], {**DIGITS, "cup": "cup"})


def test_unknown_classes_that_are_counted_are_told(tmp_path):
    found = digits(write(tmp_path, yeti__a=b"", **{"yeti/b.png": b"", "3/c.png": b""}), count_unknown=True)
    assert ("yeti/b.png", "yeti") in right(found)
    assert found.remarks[UNKNOWN] == ("yeti (1)",)
