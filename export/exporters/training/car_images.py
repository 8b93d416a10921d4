"""Images of cars and their classes: class folders, a CSV file, or Stanford's annotations."""

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
# How folders spell the only class name with a slash.
_SPELLINGS = {"Ram_C-V_Cargo_Van_Minivan_2012": "Ram_C_V_Cargo_Van_Minivan_2012"}
_SHARE: dict[Part, float] = {"validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class CarImage:
    """A file, and its class as an index into CarImages.labels. Its part is None until it is assigned."""

    path: Path
    label: int
    part: Part | None = None


@dataclass(frozen=True)
class CarImages:
    """A data set; labels in the order of the network's outputs."""

    labels: tuple[str, ...]
    images: tuple[CarImage, ...]

    def of(self, part: Part) -> list[CarImage]:
        """The images of one part."""
        return [image for image in self.images if image.part == part]


def read_images(data: Path, seed: int) -> CarImages:
    """Find the images of a data set, and assign them to training, validation and test.

    Args:
        data: a folder of class folders, or of train, validation and test folders with class folders in them; a CSV file
            with the columns file, class and perhaps part; or Stanford's cars_annos.mat or cars_train_annos.mat.
        seed: of the choice of images for validation or test, a tenth of each class, where the data name no such part.

    Raises:
        TrainingDataError: there are no images, not enough, or damaged ones.
    """
    if data.is_dir():
        named = _class_folders(data)
    elif data.suffix == ".csv":
        named = _csv(data)
    elif data.suffix == ".mat":
        named = _stanford(data)
    else:
        raise TrainingDataError(
            f"{data} is not a folder of class folders, a .csv or a .mat file: DATA must be one of these"
        )
    if not named:
        raise TrainingDataError(f"{data} has no images ({', '.join(sorted(_SUFFIXES))}) in class folders")
    labels = _order({name for _, name, _ in named})
    index = {label: number for number, label in enumerate(labels)}
    if len(labels) < 2:
        raise TrainingDataError(f"{data} has only one class, {labels[0]}: two or more are needed")
    images = CarImages(labels, tuple(CarImage(path, index[name], part) for path, name, part in sorted(named, key=str)))
    return _check(_divide(images, seed))


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
    """cars_annos.mat lists all images; the development kit's files list one part each, cars_meta.mat the classes."""
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
        raise TrainingDataError(f"{path.name} has no classes: use a file with classes, such as cars_train_annos.mat")
    folder = _image_folder(path)
    return [(folder / str(row["fname"]), names[int(row["class"]) - 1], None) for row in annotations]


def _image_folder(annotations: Path) -> Path:
    name = "cars_test" if "test" in annotations.name else "cars_train"
    places = (annotations.parent / name, annotations.parent.parent / name, annotations.parent)
    return next((place for place in places[:2] if place.is_dir()), places[2])


def _spelled(name: str) -> str:
    """A class as labels.txt spells it: AM General Hummer SUV 2000 is AM_General_Hummer_SUV_2000."""
    spelled = re.sub(r"[ /]", "_", name.strip())
    return _SPELLINGS.get(spelled, spelled)


def _order(names: set[str]) -> tuple[str, ...]:
    """Stanford's order where the classes are Stanford's, or else alphabetical order."""
    stanford = stanford_labels()
    return stanford if names == set(stanford) else tuple(sorted(names))


def _divide(images: CarImages, seed: int) -> CarImages:
    """Assign each image to a part; parts that the data do not name get at least one image of each class."""
    random = np.random.default_rng(seed)
    divided: list[CarImage] = []
    missing = [part for part in _SHARE if not any(image.part == part for image in images.images)]
    for label in range(len(images.labels)):
        own = [image for image in images.images if image.label == label]
        free = [image for image in own if image.part in (None, "train")]
        order = [free[number] for number in random.permutation(len(free))]
        for part in missing:
            count = max(1, round(_SHARE[part] * len(own)))
            divided += _as_part(order[:count], part)
            order = order[count:]
        divided += _as_part(order, "train")
        divided += [image for image in own if image.part not in (None, "train")]
    return CarImages(images.labels, tuple(sorted(divided, key=str)))


def _as_part(images: Iterable[CarImage], part: Part) -> list[CarImage]:
    return [CarImage(image.path, image.label, part) for image in images]


def _check(images: CarImages) -> CarImages:
    trained = {image.label for image in images.of("train")}
    lacking = [label for number, label in enumerate(images.labels) if number not in trained]
    if lacking:
        raise TrainingDataError(f"{lacking[0]} has no image to train on: each class needs three or more")
    _check_readable(images.images)
    return images


def _check_readable(images: Sequence[CarImage]) -> None:
    """Verify each file before the training starts."""
    for file in images:
        try:
            with Image.open(file.path) as image:
                image.verify()
        except (OSError, SyntaxError) as exc:
            raise TrainingDataError(f"{file.path} is missing or not an image: remove it from the data") from exc
