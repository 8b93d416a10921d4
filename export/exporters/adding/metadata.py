"""What exporters write into a model file about its images and classes, and what follows from it."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from exporters.adding.plan import Fact
from exporters.errors import UnknownFormatError, first_line

_LABELS = ("names", "labels", "classes", "class_names", "categories", "id2label")
_OF_OTHER_TASKS = {
    "segment": "an instance segmentation",
    "pose": "a pose estimation",
    "obb": "a detector of rotated boxes (OBB)",
}
# ONNX's own convention, MetadataProps.md: (pixel - mean) / std with pixels in 0..255.
_PIXEL_RANGES = {"NominalRange_0_255": (0.0, 1.0), "Normalized_0_1": (0.0, 255.0), "Normalized_1_1": (127.5, 127.5)}
_PIXEL_FORMATS = {"Rgb8": "rgb", "Bgr8": "bgr"}


def read(entries: Mapping[str, str]) -> dict[str, Any]:
    """Entries whose values are texts, with lists, mappings and numbers in them read."""
    return {key: _value(text) for key, text in entries.items()}


def _value(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return parse(text)
    return text


def settled(stated: Mapping[str, Any], facts: list[Fact]) -> dict[str, Any]:
    """The fields of a Description that metadata settle; each is added to the facts.

    Raises:
        UnknownFormatError: the metadata name a task that is not served.
    """
    found: dict[str, Any] = {}
    other = _OF_OTHER_TASKS.get(str(stated.get("task")))
    if other:
        raise UnknownFormatError(
            f"the model is {other}, which is not served: detection, classification and anomaly detection are"
        )

    def settle(what: str, key: str, value: Any, source: str) -> None:
        found[key] = value
        facts.append(Fact(what, _short(value), source))

    def settle_scaling(mean: float, std: float, source: str) -> None:
        found.update(mean=(mean,), std=(std,))
        facts.append(Fact("scaling", f"{mean:g} : {std:g}", source))

    labels = next((names for key in _LABELS if (names := labels_of(stated.get(key)))), ())
    if labels:
        settle("labels", "labels", labels, "the file's metadata")
    if "Ultralytics" in f"{stated.get('author')} {stated.get('description')}":
        source = "Ultralytics' models have it"
        settle_scaling(0.0, 255.0, source)
        settle("channel order", "channel_order", "rgb", source)
        sides = stated.get("imgsz")
        if isinstance(sides, Sequence) and len(sides) == 2:
            settle("input size", "size_hw", (int(sides[0]), int(sides[1])), "the file's metadata (imgsz)")
        if stated.get("task") == "classify" and isinstance(sides, Sequence):
            settle("resize", "resize_mode", "center_crop", source)
            found["resize_size"] = min(map(int, sides))
        else:
            settle("resize", "resize_mode", "letterbox", source)
    if stated.get("Image.NominalPixelRange") in _PIXEL_RANGES:
        scaling = _PIXEL_RANGES[stated["Image.NominalPixelRange"]]
        settle_scaling(*scaling, "the file's metadata (Image.NominalPixelRange)")
    if stated.get("Image.BitmapPixelFormat") in _PIXEL_FORMATS:
        order = _PIXEL_FORMATS[stated["Image.BitmapPixelFormat"]]
        settle("channel order", "channel_order", order, "the file's metadata (Image.BitmapPixelFormat)")
    return found


def labels_of(value: Any) -> tuple[str, ...]:
    """Labels in the order of the classes, from a list, a mapping of index to label or of label to index, or a text."""
    if isinstance(value, Mapping):
        if all(isinstance(index, int) for index in value.values()):
            value = {index: label for label, index in value.items()}
        with suppress(ValueError, TypeError):
            numbered = {int(index): str(label) for index, label in value.items()}
            if sorted(numbered) == list(range(len(numbered))):
                return tuple(numbered[index] for index in range(len(numbered)))
        return ()
    if isinstance(value, str):
        return tuple(label for part in re.split(r"[\n,;]", value) if (label := part.strip()))
    return tuple(map(str, value)) if isinstance(value, Sequence) else ()


def labels_in(path: Path) -> tuple[str, ...]:
    """The labels in a JSON or YAML file: itself, or under a key such as `names`.

    Raises:
        UnknownFormatError: it is neither.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise UnknownFormatError(
            f"{path.name} is neither JSON nor YAML ({first_line(exc)}): is it the labels?"
        ) from exc
    named = next((content[key] for key in _LABELS if key in content), content) if isinstance(content, dict) else content
    return labels_of(named)


def _short(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return f"{len(value)}: {', '.join(value[:3])}{', ...' if len(value) > 3 else ''}"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
