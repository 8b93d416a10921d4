"""Pictures of cars and their classes: class folders, a CSV file, or Stanford's own annotations."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from exporters.cars import stanford_labels
from exporters.errors import TrainingDataError

Part = Literal["train", "validation", "test"]
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_FOLDERS: dict[str, Part] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
# The only class name with a slash: how those who made folders of it spelled it.
_SPELLINGS = {"Ram_C-V_Cargo_Van_Minivan_2012": "Ram_C_V_Cargo_Van_Minivan_2012"}
_SHARE = {"validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Picture:
    """A file, and its class as an index into Pictures.labels. Part is None until it is decided."""

    path: Path
    label: int
    part: Part | None = None


@dataclass(frozen=True)
class Pictures:
    """A data set; labels in the order of the network's outputs."""

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]

    def of(self, part: Part) -> list[Picture]:
        """The pictures of one part."""
        return [picture for picture in self.pictures if picture.part == part]


def read_pictures(data: Path, seed: int) -> Pictures:
    """Find a data set's pictures, and decide which are for training, validation and test.

    Args:
        data: a folder of class folders, or of train, validation and test folders with class folders in them; a CSV file
            with the columns file, class and perhaps part; or Stanford's cars_annos.mat or cars_train_annos.mat.
        seed: of what the data leave to chance: where they name no validation or test part, a tenth of each class.

    Raises:
        TrainingDataError: there are no pictures, or not enough.
    """
    if data.is_dir():
        named = _class_folders(data)
    elif data.suffix == ".csv":
        named = _csv(data)
    elif data.suffix == ".mat":
        named = _stanford(data)
    else:
        raise TrainingDataError(f"{data} is no folder of class folders, no .csv and no .mat: name one of these as DATA")
    if not named:
        raise TrainingDataError(f"{data} has no pictures ({', '.join(sorted(_SUFFIXES))}) in class folders")
    labels = _order({name for _, name, _ in named})
    index = {label: number for number, label in enumerate(labels)}
    if len(labels) < 2:
        raise TrainingDataError(f"{data} has one class only, {labels[0]}: two or more are needed")
    pictures = Pictures(labels, tuple(Picture(path, index[name], part) for path, name, part in sorted(named, key=str)))
    return _check(_divide(pictures, seed))


_Named = tuple[Path, str, Part | None]


def _class_folders(folder: Path) -> list[_Named]:
    parts = [(path, _FOLDERS[path.name]) for path in folder.iterdir() if path.is_dir() and path.name in _FOLDERS]
    tops: list[tuple[Path, Part | None]] = [*parts] or [(folder, None)]
    return [
        (path, _spelled(classes.name), part)
        for top, part in tops
        for classes in top.iterdir()
        if classes.is_dir()
        for path in classes.rglob("*")
        if path.suffix.lower() in _SUFFIXES
    ]


def _csv(path: Path) -> list[_Named]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"file", "class"} <= rows[0].keys():
        raise TrainingDataError(
            f"{path.name} needs the columns file and class, and may have part (train, validation, test)"
        )
    return [(path.parent / row["file"], _spelled(row["class"]), _part(row.get("part") or "", path)) for row in rows]


def _part(text: str, path: Path) -> Part | None:
    if text and text not in _FOLDERS:
        raise TrainingDataError(f"{path.name} has a part {text!r}: it is one of {', '.join(_FOLDERS)}")
    return _FOLDERS.get(text)


def _stanford(path: Path) -> list[_Named]:
    """cars_annos.mat names all pictures; the development kit's files those of one part, cars_meta.mat the classes."""
    try:
        from scipy.io import loadmat
    except ImportError as exc:
        raise TrainingDataError(f"{path.name} is read by scipy, which is not installed: pip install scipy") from exc
    content = loadmat(path, squeeze_me=True)
    meta = content if "class_names" in content else loadmat(path.with_name("cars_meta.mat"), squeeze_me=True)
    names = [_spelled(str(name)) for name in meta["class_names"]]
    annotations: Any = content["annotations"]
    fields = annotations.dtype.names
    if "relative_im_path" in fields:
        return [
            (
                path.parent / str(row["relative_im_path"]),
                names[int(row["class"]) - 1],
                "test" if row["test"] else "train",
            )
            for row in annotations
        ]
    if "class" not in fields:
        raise TrainingDataError(f"{path.name} has no classes: take one with them, such as cars_train_annos.mat")
    folder = _pictures_of(path)
    return [(folder / str(row["fname"]), names[int(row["class"]) - 1], None) for row in annotations]


def _pictures_of(annotations: Path) -> Path:
    name = "cars_test" if "test" in annotations.name else "cars_train"
    places = (annotations.parent / name, annotations.parent.parent / name, annotations.parent)
    return next((place for place in places[:2] if place.is_dir()), places[2])


def _spelled(name: str) -> str:
    """A class as Stanford Cars' labels are written here: AM General Hummer SUV 2000 is AM_General_Hummer_SUV_2000."""
    spelled = re.sub(r"[ /]", "_", name.strip())
    return _SPELLINGS.get(spelled, spelled)


def _order(names: set[str]) -> tuple[str, ...]:
    """Stanford's order where the classes are Stanford's, else the alphabet."""
    stanford = stanford_labels()
    return stanford if names == set(stanford) else tuple(sorted(names))


def _divide(pictures: Pictures, seed: int) -> Pictures:
    """Give each picture its part; of every class at least one goes where none was named."""
    random = np.random.default_rng(seed)
    divided: list[Picture] = []
    missing = [
        part for part in ("validation", "test") if not any(picture.part == part for picture in pictures.pictures)
    ]
    for label in range(len(pictures.labels)):
        own = [picture for picture in pictures.pictures if picture.label == label]
        free = [picture for picture in own if picture.part in (None, "train")]
        order = [free[number] for number in random.permutation(len(free))]
        for part in missing:
            count = max(1, round(_SHARE[part] * len(own)))
            divided += _as_part(order[:count], "validation" if part == "validation" else "test")
            order = order[count:]
        divided += _as_part(order, "train")
        divided += [picture for picture in own if picture.part not in (None, "train")]
    return Pictures(pictures.labels, tuple(sorted(divided, key=str)))


def _as_part(pictures: Iterable[Picture], part: Part) -> list[Picture]:
    return [Picture(picture.path, picture.label, part) for picture in pictures]


def _check(pictures: Pictures) -> Pictures:
    trained = {picture.label for picture in pictures.of("train")}
    lacking = [label for number, label in enumerate(pictures.labels) if number not in trained]
    if lacking:
        raise TrainingDataError(f"{lacking[0]} has no picture to train on: three or more of each class are needed")
    _check_readable(pictures.pictures)
    return pictures


def _check_readable(pictures: Sequence[Picture]) -> None:
    """Look into each file's header: better now than in the third hour."""
    for picture in pictures:
        try:
            with Image.open(picture.path) as image:
                image.verify()
        except (OSError, SyntaxError) as exc:
            raise TrainingDataError(f"{picture.path} is missing or no picture: remove it from the data") from exc
