"""Reads labelled data: images in class folders, of a CSV file or of an IDX file, windows; boxes are in coco.py."""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from exporters.training.idx import read_idx
from kserve_transformers.arrays.images.formats import SUFFIXES
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import TASKS
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.coco import read_coco
from modelport.releases.evaluation.labelled import Labelled, LabelledData, right_answer
from modelport.releases.evaluation.labels import match

UNKNOWN = "classes that no model answers, counted as wrong"
_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
_FILE_COLUMNS, _LABEL_COLUMNS = ("file", "filename", "path", "image"), ("label", "class")


@dataclass(frozen=True)
class DataOptions:
    """Which data, and how to read it; see `modelport evaluate --help`."""

    path: Path
    images: Path | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    count_unknown: bool = False


def read_data(options: DataOptions, service: ServiceSpec, known: Mapping[str, str]) -> LabelledData:
    """Read labelled data for a service.

    Args:
        options: which.
        service: its task determines the form of the data.
        known: its labels, by each name that means one.

    Raises:
        EvaluationError: there is no such data, it is malformed or not of the task's form, or a class is unknown.
        TrainingDataError: an IDX file is damaged.
    """
    path, task = options.path, TASKS[service.task]
    if task.kind is InstanceKind.WINDOW:
        data = _read_windows(_of_type(path, ".csv", "windows with labels"))
    elif "box" in task.outputs:
        data = read_coco(_of_type(path, ".json", "boxes in COCO's format"), options.images)
    elif path.suffix.lower() == ".csv":
        data = _read_table(path, options.images or path.parent)
    elif _IMAGES in path.name or (path.is_dir() and [*path.glob(f"*{_IMAGES}*")]):
        data = _read_idx(path)
    elif path.is_dir():
        data = _read_folders(path)
    else:
        raise EvaluationError(f"{path} is no folder of class folders, no CSV file and no {_IMAGES} file: name one")
    if not data.samples:
        raise EvaluationError(f"{path} contains no labelled samples ({data.form}): name other data by --data")
    counts = Counter(label for sample in data.samples for label in sample.right.labels)
    labels, unknown = match(counts, known, options.renamed, options.count_unknown)
    samples = tuple(
        replace(one, right=replace(one.right, labels=tuple(labels[label] for label in one.right.labels)))
        for one in data.samples
    )
    remarks = {**data.remarks, UNKNOWN: unknown}
    return replace(data, samples=samples, remarks={kind: names for kind, names in remarks.items() if names})


def _of_type(path: Path, suffix: str, what: str) -> Path:
    """The file itself, or the only such file in a folder."""
    found = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path] if path.suffix.lower() == suffix else []
    if len(found) != 1:
        raise EvaluationError(f"{path} is not a {suffix} file: this service is evaluated on {what} in one such file")
    return found[0]


def _read_folders(folder: Path) -> LabelledData:
    """One folder for each class, which may have folders of its own."""
    samples, skipped, empty = [], [], []
    for above in sorted(folder.iterdir()):
        if above.name.startswith("."):
            continue
        files = sorted(path for path in above.rglob("*") if path.is_file()) if above.is_dir() else [above]
        files = [path for path in files if not path.name.startswith(".")]
        images = [path for path in files if above.is_dir() and path.suffix.lower() in SUFFIXES]
        skipped += [_relative(path, folder) for path in files if path not in images]
        empty += [above.name] * (above.is_dir() and not images)
        samples += [Labelled(_relative(path, folder), path.read_bytes, right_answer(above.name)) for path in images]
    remarks = {"files left out, in no class folder or no images by their names": skipped, "empty classes": empty}
    return LabelledData("class folders", tuple(samples), remarks)


def _read_table(path: Path, images: Path) -> LabelledData:
    """A CSV file with the columns file and label; without a header these are its two columns."""
    rows = list(_rows(path))
    head = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    places = [
        next((head.index(name) for name in names if name in head), -1) for names in (_FILE_COLUMNS, _LABEL_COLUMNS)
    ]
    if min(places) >= 0:
        rows = rows[1:]
    elif len(head) == 2:
        places = [0, 1]
    elif rows:
        raise EvaluationError(f"{path} has no columns file and label, separated by commas: name them in its first line")
    seen: dict[str, int] = {}
    for line, row in rows:
        if len(row) <= max(places) or not all(row[place].strip() for place in places):
            raise EvaluationError(f"{path}, line {line}: a file and its label are expected, not {','.join(row)!r}")
        name = row[places[0]].strip()
        if seen.setdefault(name, line) != line:
            raise EvaluationError(f"{path}, line {line}: {name} stands in line {seen[name]}, too: remove one of them")
    samples = [
        Labelled(
            row[places[0]].strip(), (images / row[places[0]].strip()).read_bytes, right_answer(row[places[1]].strip())
        )
        for _, row in rows
    ]
    return LabelledData("CSV of files and labels", tuple(samples))


def _read_windows(path: Path) -> LabelledData:
    """A CSV file with a window a line: its label, and then its numbers."""
    samples: list[Labelled] = []
    for line, (label, *cells) in _rows(path):
        try:
            numbers = [float(cell) for cell in cells]
        except ValueError:
            if not samples and line == 1:
                continue  # a header
            numbers = []
        if not numbers or not all(map(math.isfinite, numbers)) or not label.strip():
            raise EvaluationError(f"{path}, line {line}: a label and then the numbers of a window are expected")
        samples.append(
            Labelled(f"line {line}", partial(np.array, numbers, np.float32), right_answer(label.strip().lower()))
        )
    return LabelledData("CSV of labels and windows", tuple(samples))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except (ValueError, csv.Error) as exc:
        raise EvaluationError(f"{path} is not CSV in UTF-8 ({exc}): save it as that") from exc


def _read_idx(path: Path) -> LabelledData:
    """A pair of MNIST's files, images and labels; a folder may hold one pair."""
    found = sorted(path.glob(f"*{_IMAGES}*")) if path.is_dir() else [path]
    if len(found) != 1:
        raise EvaluationError(
            f"{path} holds several sets of digits: name one of {', '.join(one.name for one in found)}"
        )
    (images_file,) = found
    labels_file = images_file.with_name(images_file.name.replace(_IMAGES, _LABELS))
    if not labels_file.is_file():
        raise EvaluationError(f"{labels_file} is missing: the labels of {images_file.name} stand in it")
    images, labels = read_idx(images_file), read_idx(labels_file)
    if images.ndim != 3 or images.shape[:1] != labels.shape:
        raise EvaluationError(f"{images_file.name} {images.shape} and {labels_file.name} {labels.shape} do not fit")
    samples = (
        Labelled(f"{images_file.name}#{number}", partial(_png, image), right_answer(str(label)))
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True))
    )
    return LabelledData("IDX images and labels", tuple(samples))


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _relative(path: Path, folder: Path) -> str:
    """The path below a folder as text; bytes that are not UTF-8 are escaped."""
    return path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
