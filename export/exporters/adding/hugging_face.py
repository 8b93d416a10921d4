"""Folders of Hugging Face's layout: an ONNX model, config.json with labels, and preprocessor_config.json.

See exporters.adding.formats.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from exporters.adding import metadata, onnx_files
from exporters.adding.plan import Description, Fact, Hints, Plan
from exporters.errors import UnknownFormatError, first_line

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_MODELS = ("model.onnx", "onnx/model.onnx")
_TASKS = {"ForImageClassification": "classify", "ForObjectDetection": "detect"}
# Pillow's numbers of filters, and the nearest of ours.
_FILTERS = {0: ("bilinear", False), 1: ("bicubic", False), 2: ("bilinear", True), 3: ("bicubic", True)}
_STRETCHED_FROM = 384  # ConvNeXT's images are cropped below this side only


def describe(path: Path, hints: Hints) -> Description:
    """What the model and the two files beside it say.

    Raises:
        UnknownFormatError: there is no ONNX model, the network has another task, or a file is damaged.
    """
    model, config = _model(path), _read(path / _CONFIG)
    labels = metadata.labels_of(config.get("id2label"))
    task = _task(path, config)
    if hints.task is None and task:
        hints = dataclasses.replace(hints, task="classification" if task == "classify" else "detection")
    found = onnx_files.describe(model, dataclasses.replace(hints, labels=hints.labels or len(labels)))
    facts: list[Fact] = []
    settled: dict[str, Any] = {"metadata": {**found.metadata, **({"task": task} if task else {})}}
    if labels:
        settled["labels"] = labels
        facts.append(Fact("labels", f"{len(labels)}: {', '.join(labels[:3])}", f"id2label in {_CONFIG}"))
    if (path / _PREPROCESSOR).is_file():
        settled |= _preprocessing(_read(path / _PREPROCESSOR), facts)
    if found.size_hw:  # the graph's own cannot be changed
        settled.pop("size_hw", None)
    told = {fact.what for fact in facts}
    kept = [fact for fact in found.facts if fact.what not in told]
    return dataclasses.replace(found, format="huggingface", **settled, facts=(*kept, *facts))


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write model.onnx."""
    onnx_files.build(_model(path), plan, artefact)


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """ONNX Runtime's answers."""
    return onnx_files.reference(_model(path), plan, samples)


def _model(path: Path) -> Path:
    found = next((path / name for name in _MODELS if (path / name).is_file()), None)
    if found is None:
        raise UnknownFormatError(
            f"{path.name} holds weights without a graph (model.safetensors): convert them, in an environment with "
            f"`pip install optimum-onnx`, by `optimum-cli export onnx --model {path.name} {path.name}`"
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise UnknownFormatError(f"{path.name} is damaged ({first_line(exc)}): download it again") from exc
    if not isinstance(value, dict):
        raise UnknownFormatError(f"{path.name} is not an object of JSON: download it again")
    return value


def _task(path: Path, config: Mapping[str, Any]) -> str:
    """What the network is for, in Ultralytics' word; "" where the file does not say it."""
    architectures = [str(name) for name in config.get("architectures") or ()]
    task = next((task for name in architectures for end, task in _TASKS.items() if name.endswith(end)), "")
    if architectures and not task:
        raise UnknownFormatError(
            f"{path.name} is a {architectures[0]}, which is not served: networks for image classification and object "
            "detection are"
        )
    return task


def _preprocessing(stated: Mapping[str, Any], facts: list[Fact]) -> dict[str, Any]:
    """The fields of a Description that preprocessor_config.json settles; each is added to the facts."""
    scale = float(stated.get("rescale_factor", 1 / 255)) if stated.get("do_rescale", True) else 1.0
    normalised = stated.get("do_normalize", "image_mean" in stated) and stated.get("image_mean") is not None
    mean, std = (
        tuple(round(value / scale, 6) for value in _numbers(stated[key] if normalised else plain))
        for key, plain in (("image_mean", 0), ("image_std", 1))
    )
    found: dict[str, Any] = {
        "mean": mean,
        "std": std,
        "channel_order": "bgr" if stated.get("do_flip_channel_order") else "rgb",
        **_geometry(stated),
    }
    found["interpolation"], exact = _FILTERS.get(stated.get("resample", 2), ("bilinear", False))
    shown = [
        ("scaling", " : ".join(" ".join(f"{value:g}" for value in values) for values in (mean, std)), True),
        ("channel order", found["channel_order"], True),
        ("resize", " ".join(str(found[key]) for key in ("resize_mode", "resize_size") if found.get(key)), True),
        ("input size", "x".join(map(str, found.get("size_hw") or ())), True),
        ("interpolation", found["interpolation"], exact),
    ]
    facts += [Fact(what, value, _PREPROCESSOR, sure) for what, value, sure in shown if value]
    return {key: value for key, value in found.items() if value is not None}


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list) else (float(value),)


def _geometry(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Size, resize mode and, of a crop, the length of the shorter side."""
    if not stated.get("do_resize", True):
        return {"size_hw": _sides(stated.get("crop_size") or stated.get("size"))}
    size, crop = stated.get("size"), stated.get("crop_size")
    shorter = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if "crop_pct" in stated and shorter:  # ConvNeXT's
        if shorter >= _STRETCHED_FROM:
            return {"size_hw": (shorter, shorter), "resize_mode": "stretch"}
        share = stated["crop_pct"] or 224 / 256
        return {"size_hw": (shorter, shorter), "resize_mode": "center_crop", "resize_size": int(shorter / share)}
    if stated.get("do_center_crop") and crop:
        shorter = shorter or min(_sides(size) or _sides(crop) or (0,))
        return {"size_hw": _sides(crop), "resize_mode": "center_crop", "resize_size": shorter or None}
    return {"size_hw": _sides(size), "resize_mode": "stretch" if _sides(size) else None}


def _sides(value: Any) -> tuple[int, int] | None:
    """Height and width of an image; None where only one side is fixed."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, Mapping) and {"height", "width"} <= value.keys():
        return int(value["height"]), int(value["width"])
    return None
