"""Darknet models with random weights: the real architectures, with fewer filters."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exporters.darknet.cfg import parse_cfg
from exporters.darknet.layers import Convolutional, Shortcut

ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


@dataclass(frozen=True)
class Files:
    """A Darknet model on disk."""

    cfg: Path
    weights: Path
    names: Path


def section(name: str, **options: object) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in options.items()) + "\n"


def conv(filters: int, size: int = 3, stride: int = 1, activation: str = "leaky", **options: object) -> str:
    normalised = {"batch_normalize": 1, "filters": filters, "size": size, "stride": stride, "pad": 1}
    return section("convolutional", **normalised, **options, activation=activation)


def head(classes: int, mask: str, anchors: str, **options: object) -> str:
    count, total = len(mask.split(",")), len(anchors.split(",")) // 2
    return section(
        "convolutional", size=1, stride=1, pad=1, filters=count * (5 + classes), activation="linear"
    ) + section(
        "yolo",
        mask=mask,
        anchors=anchors,
        classes=classes,
        num=total,
        jitter=0.3,
        ignore_thresh=0.7,
        truth_thresh=1,
        random=1,
        **options,
    )


def net(width: int, height: int) -> str:
    return section("net", batch=1, subdivisions=1, width=width, height=height, channels=3, momentum=0.9, hue=".1")


def yolov3_tiny(width: int, height: int, classes: int) -> str:
    pool = section("maxpool", size=2, stride=2)
    backbone = "".join(conv(filters) + pool for filters in (4, 6, 8, 12, 16)) + conv(24)
    return (
        net(width, height)
        + backbone
        + section("maxpool", size=2, stride=1)
        + conv(32)
        + conv(12, 1)
        + conv(16)
        + head(classes, "3,4,5", TINY_ANCHORS)
        + section("route", layers=-4)
        + conv(8, 1)
        + section("upsample", stride=2)
        + section("route", layers="-1, 8")
        + conv(12)
        + head(classes, "0,1,2", TINY_ANCHORS)
    )


def yolov3(width: int, height: int, classes: int, spp: bool = False) -> str:
    """All 107 layers of yolov3 (114 of yolov3-spp), 1/16 of the filters."""

    def stage(filters: int, blocks: int) -> str:
        block = conv(filters // 2, 1) + conv(filters) + section("shortcut", **{"from": -3}, activation="linear")
        return conv(filters, stride=2) + block * blocks

    def neck(filters: int, mask: str) -> str:
        pair = conv(filters, 1) + conv(2 * filters)
        return pair * 3 + head(classes, mask, ANCHORS)

    def up(filters: int, layer: int) -> str:
        sections = section("route", layers=-4), conv(filters, 1), section("upsample", stride=2)
        return "".join(sections) + section("route", layers=f"-1, {layer}")

    def pyramid() -> str:
        pools = [
            section("maxpool", stride=1, size=5),
            section("route", layers=-2),
            section("maxpool", stride=1, size=9),
            section("route", layers=-4),
            section("maxpool", stride=1, size=13),
            section("route", layers="-1,-3,-5,-6"),
        ]
        before, after = conv(32, 1) + conv(64) + conv(32, 1), conv(32, 1) + conv(64) + conv(32, 1) + conv(64)
        return before + "".join(pools) + after + head(classes, "6,7,8", ANCHORS)

    backbone = stage(4, 1) + stage(8, 2) + stage(16, 8) + stage(32, 8) + stage(64, 4)
    first = pyramid() if spp else neck(32, "6,7,8")
    return (
        net(width, height) + conv(2) + backbone + first + up(16, 61) + neck(16, "3,4,5") + up(8, 36) + neck(8, "0,1,2")
    )


def yolov4_tiny(width: int, height: int, classes: int) -> str:
    """What its successors use: routes by groups, mish, scale_x_y."""
    csp = (
        conv(8)
        + section("route", layers=-1, groups=2, group_id=1)
        + conv(4)
        + conv(4, activation="mish")
        + section("route", layers="-1,-2")
        + conv(8, 1)
        + section("route", layers="-6,-1")
        + section("maxpool", size=2, stride=2)
    )
    return (
        net(width, height)
        + conv(4, stride=2)
        + conv(8, stride=2)
        + csp * 3
        + conv(16)
        + conv(8, 1, activation="relu")
        + conv(16, groups=2)
        + head(classes, "3,4,5", TINY_ANCHORS, scale_x_y=1.05)
        + section("route", layers=-4)
        + conv(8, 1, activation="logistic")
        + section("upsample", stride=2)
        + section("route", layers="-1, 23")
        + conv(16)
        + head(classes, "1,2,3", TINY_ANCHORS, scale_x_y=1.2)
    )


ARCHITECTURES: dict[str, Callable[[int, int, int], str]] = {
    "yolov3-tiny": yolov3_tiny,
    "yolov3": yolov3,
    "yolov3-spp": lambda width, height, classes: yolov3(width, height, classes, spp=True),
    "yolov4-tiny": yolov4_tiny,
}


def random_weights(text: str, seed: int = 0) -> bytes:
    """A weights file of the right length whose activations neither vanish nor explode."""
    random = np.random.default_rng(seed)
    network = parse_cfg(text)
    shapes = network.shapes()
    parts: list[np.ndarray] = []
    for layer, following in zip(network.layers, [*network.layers[1:], None], strict=True):
        if not isinstance(layer, Convolutional):
            continue
        filters, source = layer.filters, layer.sources[0]
        fan_in = (shapes[source].channels if source >= 0 else 3) // layer.groups * layer.size**2
        parts.append(random.normal(0, 0.3, filters))
        if layer.batch_normalize:
            parts += [
                random.uniform(0.7, 1.3, filters),
                random.normal(0, 0.1, filters),
                random.uniform(0.5, 1.5, filters),
            ]
        # Widths are exponentials of what heads give, and each shortcut adds to what there was.
        damped = layer.activation == "linear" or isinstance(following, Shortcut)
        gain = 0.15 if damped else 1.3
        parts.append(random.normal(0, gain / np.sqrt(fan_in), filters * fan_in))
    header = np.array([0, 2, 5], "<i4").tobytes() + np.array([32013312], "<i8").tobytes()
    return header + np.concatenate(parts).astype("<f4").tobytes()


@pytest.fixture
def darknet_files(tmp_path) -> Callable[..., Files]:
    """Write a model of one of ARCHITECTURES and give its files."""

    def write(architecture: str = "yolov3-tiny", width: int = 64, height: int = 96, classes: int = 3) -> Files:
        text = ARCHITECTURES[architecture](width, height, classes)
        files = Files(tmp_path / "my.cfg", tmp_path / "my.weights", tmp_path / "my.names")
        files.cfg.write_text(text)
        files.weights.write_bytes(random_weights(text))
        files.names.write_text("".join(f"label {index}\n" for index in range(classes)))
        return files

    return write
