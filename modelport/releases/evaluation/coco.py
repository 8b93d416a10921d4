"""Boxes in COCO's format: images, annotations and categories in one JSON file."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.errors import ServingError
from kserve_transformers.settings import Limits
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.labelled import Labelled, LabelledData, right_answer

OUTSIDE = "boxes that reach outside of their images"
FLAT = "boxes without an area, which cannot be found"
SIZES = "images of another size than stated"
UNLISTED = "annotations of images that are not listed, counted as missed"

Size = tuple[int, int]


def read_coco(path: Path, images: Path | None) -> LabelledData:
    """Read annotations.

    Args:
        path: the JSON file.
        images: the folder of the images; None: that of the file.

    Returns:
        A sample for each image, in the order of the file, with all its boxes. Boxes that are wrong stay, and are
        remarked; annotations of an image that is not listed form a sample without content.

    Raises:
        EvaluationError: it is malformed, an annotation has no box, or the folder contains none of the images.
    """
    folder = images or path.parent
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as exc:
        raise EvaluationError(f"{path} is not JSON ({exc}): export the annotations again as COCO JSON") from exc
    categories = {one["id"]: str(one["name"]) for one in _entries(path, document, "categories", ("id", "name"))}
    files: dict[Any, tuple[str, Size | None]] = {}
    for one in _entries(path, document, "images", ("id", "file_name")):
        if one["id"] in files:
            raise EvaluationError(f"{path}: two images have the id {one['id']}: number them anew")
        files[one["id"]] = (str(one["file_name"]), _stated_size(one))
    boxes: dict[Any, list[tuple[str, list[float], bool]]] = defaultdict(list)
    for one in _entries(path, document, "annotations", ("image_id", "category_id", "bbox")):
        if one["category_id"] not in categories:
            raise EvaluationError(f"{path}: {_called(one)} is of category {one['category_id']}, which is not declared")
        boxes[one["image_id"]].append((categories[one["category_id"]], _xywh(path, one), bool(one.get("iscrowd"))))
    places = {key: _place(path, folder, name) for key, (name, _) in files.items()}
    if places and not any(place.is_file() for place in places.values()):
        raise EvaluationError(f"{folder} contains none of the {len(places)} images of {path.name}: name their folder "
                              "by --images DIR")  # fmt: skip
    remarks: dict[str, list[str]] = {OUTSIDE: [], FLAT: [], SIZES: [], UNLISTED: []}
    samples = []
    for key, (name, stated) in files.items():
        seen = _seen_size(places[key])
        if seen and stated and seen != stated:
            remarks[SIZES].append(f"{name} ({seen[0]}x{seen[1]}, not {stated[0]}x{stated[1]})")
        _remark(remarks, name, boxes[key], seen or stated)
        samples.append(_labelled(name, places[key], boxes[key]))
    for key in [key for key in boxes if key not in files]:
        remarks[UNLISTED] += [f"image_id {key}"] * len(boxes[key])
        samples.append(_labelled(f"image_id {key}", None, boxes[key]))
    if not any(map(len, boxes.values())):
        raise EvaluationError(f"{path} contains no annotations: there is nothing to find")
    return LabelledData("COCO JSON", tuple(samples), remarks)


def _entries(path: Path, document: Any, name: str, fields: tuple[str, ...]) -> list[Mapping[str, Any]]:
    entries = document.get(name) if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise EvaluationError(f"{path} has no list {name!r}: COCO JSON has images, annotations and categories")
    for number, one in enumerate(entries):
        missing = [field for field in fields if not isinstance(one, dict) or field not in one]
        if missing:
            raise EvaluationError(f"{path}: entry {number} of {name!r} has no {missing[0]!r}")
        if any(isinstance(one[field], (list, dict)) for field in fields if field.endswith("id")):
            raise EvaluationError(f"{path}: entry {number} of {name!r} has an id that is neither a number nor a text")
    return entries


def _xywh(path: Path, annotation: Mapping[str, Any]) -> list[float]:
    box = annotation["bbox"]
    numbers = isinstance(box, list) and all(type(side) in (int, float) and math.isfinite(side) for side in box)
    if not numbers or len(box) != 4:
        raise EvaluationError(f"{path}: {_called(annotation)} has the bbox {str(box)[:60]}, not [x, y, width, height]")
    return [float(side) for side in box]


def _called(annotation: Mapping[str, Any]) -> str:
    return f"annotation {annotation.get('id', '?')} of image_id {annotation['image_id']}"


def _place(path: Path, folder: Path, name: str) -> Path:
    """The file of an image: a file of annotations names nothing outside of the folder of its images."""
    if "\0" in name or not (folder / name).absolute().resolve().is_relative_to(folder.resolve()):
        raise EvaluationError(f"{path}: the image {name!r} is not in {folder}: name the folder of all by --images DIR")
    return folder / name


def _stated_size(image: Mapping[str, Any]) -> Size | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if type(width) is int and type(height) is int and width > 0 < height else None


def _seen_size(place: Path) -> Size | None:
    """Width and height of an image as the detector sees it, its orientation applied; None where it is unreadable."""
    try:
        return decode_image(place.read_bytes(), Limits.pixels, lambda size: 0.125).size_wh
    except (OSError, ServingError):
        return None


def _remark(
    remarks: dict[str, list[str]], name: str, boxes: list[tuple[str, list[float], bool]], size: Size | None
) -> None:
    for label, (x, y, width, height), _ in boxes:
        told = f"{name}: {label} at {x:g}, {y:g}, {width:g} x {height:g}"
        if width <= 0 or height <= 0:
            remarks[FLAT].append(told)
        # A pixel's tolerance: annotation tools round.
        elif x < -1 or y < -1 or (size and (x + width > size[0] + 1 or y + height > size[1] + 1)):
            remarks[OUTSIDE].append(told)


def _labelled(name: str, place: Path | None, boxes: list[tuple[str, list[float], bool]]) -> Labelled:
    xywh = np.array([box for _, box, _ in boxes], np.float32).reshape(-1, 4)
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + np.maximum(xywh[:, 2:], 0)], axis=1)
    content = place.read_bytes if place else partial(_refuse, name)
    right = right_answer(*(label for label, _, _ in boxes), boxes=xyxy)
    return Labelled(name, content, right, tuple(crowd for _, _, crowd in boxes))


def _refuse(name: str) -> bytes:
    raise FileNotFoundError(f"{name} is not listed among the images")
