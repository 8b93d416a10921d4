"""Darknet's detectors: NAME.weights with its cfg beside it, by the exporter of this project and OpenCV's importer."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Description, Fact, Head, Hints, Plan
from exporters.darknet.cfg import read_cfg
from exporters.darknet.graph import PAIRS, build_graph
from exporters.darknet.model import read_names
from exporters.darknet.reference import detect
from exporters.darknet.weights import read_weights
from exporters.errors import UnclearModelError, UnknownFormatError

_STD = 255.0
_NONE = Hints()


def describe(path: Path, hints: Hints = _NONE) -> Description:
    """What a cfg says of its network.

    Raises:
        UnknownFormatError: one of the two files is missing.
        DarknetError: the cfg is malformed, or uses a part of the format that is not supported.
    """
    cfg, _ = _pair(path)
    network = read_cfg(cfg)
    size = f"{network.height}x{network.width}"
    facts = [
        Fact("network", f"{cfg.name}, {len(network.layers)} layers", "beside the weights"),
        Fact("input size", size, cfg.name),
        Fact("scaling", "0..1", "Darknet's networks have it"),
    ]
    names = cfg.with_suffix(".names")
    labels = tuple(read_names(names, network.classes)) if names.is_file() else ()
    if labels:
        facts.append(Fact("labels", str(len(labels)), names.name))
    sure = bool(network.resize_mode)
    source = f"letter_box in {cfg.name}" if sure else "as in the original Darknet; AlexeyAB's fork stretches by default"
    facts.append(Fact("resize", network.resize_mode or "letterbox", source, sure, "" if sure else "--resize"))
    return Description(
        "darknet",
        "onnxruntime_onnx",
        {"": ("float32", (None, 3, network.height, network.width))},
        {},
        size_hw=(network.height, network.width),
        layout="nchw",
        channels=3,
        channel_order="rgb",
        mean=(0.0,),
        std=(_STD,),
        resize_mode="stretch" if network.resize_mode == "stretch" else "letterbox",
        labels=labels,
        heads=(Head("darknet", classes=network.classes),),
        facts=tuple(facts),
    )


def build(path: Path, plan: Plan, artefact: Path) -> None:
    """Write the graph.

    Raises:
        UnclearModelError: the plan has another scaling than Darknet's.
        DarknetError: the weights do not fit the cfg.
    """
    if any(plan.mean) or set(plan.std) != {_STD} or plan.channel_order != "rgb":
        raise UnclearModelError("Darknet's networks take RGB in 0..1: leave --normalise and --channel-order out")
    cfg, weights = _pair(path)
    network = read_cfg(cfg)
    graph = build_graph(network, read_weights(weights, network))
    artefact.write_bytes(graph.SerializeToString(deterministic=True))


def reference(path: Path, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """OpenCV's detections, padded with zeros."""
    cfg, weights = _pair(path)
    found = [detect(cfg, weights, sample, PAIRS) for sample in samples]
    return {
        name: np.stack([_padded(getattr(one, base)) for one in found])
        for name, base in zip(plan.outputs, ("boxes", "scores", "classes"), strict=True)
    }


def _padded(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([rows, np.zeros((PAIRS - len(rows), *rows.shape[1:]), rows.dtype)])


def _pair(path: Path) -> tuple[Path, Path]:
    """The cfg and the weights that belong together: of one name, else the only ones in the folder."""
    pair = []
    for suffix in (".cfg", ".weights"):
        if path.suffix.lower() == suffix:
            pair.append(path)
            continue
        same = path.with_suffix(suffix)
        found = [same] if same.is_file() else sorted(path.parent.glob(f"*{suffix}"))
        if len(found) != 1:
            raise UnknownFormatError(f"{path.name} needs {same.name} beside it: Darknet's models are two files")
        pair += found
    return pair[0], pair[1]
