"""Darknet's cfg files, parsed strictly: anything unsupported is an error that names its section and line.

Source: parser.c of Darknet. Routes by groups, mish and scale_x_y are of its successors (YOLOv4).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from exporters.darknet.layers import (
    ACTIVATIONS,
    Convolutional,
    Layer,
    Maxpool,
    Network,
    Route,
    Shortcut,
    Upsample,
    Yolo,
)
from exporters.errors import DarknetError

STRIDE = 32
# Keys that change nothing at inference; they are accepted and skipped. Of each section first those that pjreddie's
# Darknet reads, then those that only AlexeyAB's fork reads; `any` stands for every section. Not among them, since they
# change which weights are read: dontload, dontloadscales and numload.
_SKIPPED: Mapping[str, tuple[str, str]] = {
    "net": (
        "batch subdivisions momentum decay angle saturation exposure hue learning_rate burn_in max_batches policy "
        "steps scales step scale gamma power time_steps notruth random adam B1 B2 eps max_crop min_crop max_ratio "
        "min_ratio center clip aspect",
        "mosaic mosaic_bound cutmix mixup flip dynamic_minibatch optimized_memory workspace_size_limit_MB "
        "sharpen blur gaussian_noise contrastive contrastive_jit_flip contrastive_color unsupervised label_smooth_eps "
        "adversarial_lr attention ema_alpha badlabels_rejection_percentage num_sigmas_reject_badlabels "
        "equidistant_point try_fix_nan loss_scale use_cuda_graph benchmark_layers weights_reject_freq seq_scales "
        "sequential_subdivisions init_sequential_subdivisions augment_speed track log_step max_chart_loss sgdr_cycle "
        "sgdr_mult resize_step learning_rate_min",
    ),
    "yolo": (
        "jitter ignore_thresh truth_thresh random max map",
        "iou_thresh iou_normalizer cls_normalizer obj_normalizer delta_normalizer iou_loss iou_thresh_kind nms_kind "
        "beta_nms resize max_delta counters_per_class classes_multipliers label_smooth_eps focal_loss "
        "objectness_smooth track_history_size sim_thresh dets_for_track dets_for_show track_ciou_norm embedding_layer "
        "show_details",
    ),
    "convolutional": ("", "grad_centr assisted_excitation stream wait_stream"),
    "route": ("", "stream wait_stream"),
    "any": (
        "stopbackward learning_rate smooth truth clip dontsave onlyforward",
        "dont_update burnin_update train_only_bn show_receptive_field",
    ),
}
# Keys of AlexeyAB's fork that change a layer, with the values at which they change nothing.
_NEUTRAL = {
    "dilation": "1",
    **dict.fromkeys(
        [
            "antialiasing",
            "sway",
            "rotate",
            "stretch",
            "stretch_sway",
            "deform",
            "cbn",
            "bin_output",
            "coordconv",
            "reverse",
        ],
        "0",
    ),
    **dict.fromkeys(("dontload", "dontloadscales"), "0"),
}
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class _Section:
    name: str
    line: int
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"[{self.name}] in line {self.line}"

    def error(self, text: str) -> DarknetError:
        return DarknetError(f"{self}: {text}")

    def integer(self, key: str, default: int | None = None, low: int = 0) -> int:
        (value,) = self._numbers(key, int, None if default is None else [default], count=1)
        if value < low:
            raise self.error(f"{key} must be {low} or more, not {value}")
        return value

    def integers(self, key: str, default: list[int] | None = None) -> list[int]:
        return self._numbers(key, int, default)

    def floats(self, key: str, default: list[float] | None = None) -> list[float]:
        return self._numbers(key, float, default)

    def flag(self, key: str) -> bool:
        return self.only(key, 0, 1) == 1

    def only(self, key: str, default: int, *others: int) -> int:
        """Read a key of which only some values are supported; the first is the default."""
        value = self.integer(key, default)
        if value not in (default, *others):
            raise self.error(f"{key}={value} is not supported")
        return value

    def activation(self, default: str) -> str:
        value = self.options.get("activation", default)
        if value not in ACTIVATIONS:
            raise self.error(f"activation {value} is not supported, only {', '.join(ACTIVATIONS)}")
        return value

    def _numbers(
        self, key: str, kind: Callable[[str], _Number], default: list[_Number] | None, count: int = 0
    ) -> list[_Number]:
        if key not in self.options:
            if default is None:
                raise self.error(f"{key} is missing")
            return default
        try:
            numbers = [kind(part) for part in self.options[key].split(",")]
        except ValueError:
            numbers = []
        if not all(map(math.isfinite, numbers)) or not numbers or (count and len(numbers) != count):
            raise self.error(f"{key}={self.options[key]} is not {'one number' if count else 'a list of numbers'}")
        return numbers


def read_cfg(path: Path) -> Network:
    """Read a cfg file. See parse_cfg."""
    content = path.read_bytes()
    if b"\0" in content:
        raise DarknetError(f"{path.name} is not a text file: is it the cfg?")
    try:  # what is not ASCII stands in comments, in whatever encoding
        return parse_cfg(content.decode("utf-8-sig", errors="replace"))
    except DarknetError as exc:
        raise DarknetError(f"{path.name}: {exc}") from exc


def parse_cfg(text: str) -> Network:
    """Parse the text of a cfg file into a network whose layers fit together.

    Raises:
        DarknetError: a section, key or value is unknown or missing; names section and line.
    """
    sections = _sections(text)
    if not sections or sections[0].name not in ("net", "network"):
        raise DarknetError("the first section must be [net]")
    net, *others = sections
    _check_keys(net, "width height channels inputs letter_box")
    height, width = (_side(net, key) for key in ("height", "width"))
    if net.integer("channels", 3) != 3:
        raise net.error("only images of 3 channels are supported")
    layers = tuple(_layer(section, index) for index, section in enumerate(others))
    resize_mode = ""
    if "letter_box" in net.options:
        resize_mode = "letterbox" if net.flag("letter_box") else "stretch"
    network = Network(height, width, layers, resize_mode)
    if not network.heads:
        raise DarknetError("there is no [yolo] section: only YOLO detectors are supported")
    if len({head.classes for _, head in network.heads}) > 1:
        raise DarknetError(f"{network.heads[-1][1].section}: classes differ from those of the first [yolo]")
    network.shapes()
    return network


def _sections(text: str) -> list[_Section]:
    sections: list[_Section] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = "".join(raw.split())  # Darknet ignores all white space
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            if line[-1] != "]":
                raise DarknetError(f"line {number}: {raw.strip()!r} lacks its closing bracket")
            sections.append(_Section(line[1:-1], number))
            continue
        # Darknet's atoi and atof stop at a comment behind a number.
        key, equals, value = line.partition("#")[0].partition(";")[0].partition("=")
        if not (key and equals and value and sections):
            raise DarknetError(f"line {number}: {raw.strip()!r} is neither [section] nor key=value inside one")
        sections[-1].options.setdefault(key, value)  # Darknet searches from the front: the first of two counts
    return sections


def _check_keys(section: _Section, known: str) -> None:
    skipped = (*_SKIPPED["any"], *_SKIPPED.get("net" if section.name == "network" else section.name, ()))
    neutral = {key for key, value in section.options.items() if _NEUTRAL.get(key) == value}
    unknown = section.options.keys() - set(" ".join((known, *skipped)).split()) - neutral
    if unknown:
        raise section.error(f"unknown key {min(unknown)}")


def _side(net: _Section, key: str) -> int:
    value = net.integer(key, low=STRIDE)
    if value % STRIDE:
        raise net.error(f"{key} must be a multiple of {STRIDE}, not {value}")
    return value


def _layer(section: _Section, index: int) -> Layer:
    if section.name not in _READERS:
        raise section.error("unknown section")
    known, reader = _READERS[section.name]
    _check_keys(section, known)
    return reader(section, index)


def _convolutional(section: _Section, index: int) -> Convolutional:
    for key in ("binary", "xnor", "flipped", "dot"):
        section.only(key, 0)
    size = section.integer("size", 1, low=1)
    return Convolutional(
        section=str(section),
        sources=(index - 1,),
        filters=section.integer("filters", 1, low=1),
        size=size,
        stride=section.integer("stride", 1, low=1),
        padding=size // 2 if section.flag("pad") else section.integer("padding", 0),
        groups=section.integer("groups", 1, low=1),
        batch_normalize=section.flag("batch_normalize"),
        activation=section.activation("logistic"),
    )


def _maxpool(section: _Section, index: int) -> Maxpool:
    stride = section.integer("stride", 1, low=1)
    size = section.integer("size", stride, low=1)
    return Maxpool(str(section), (index - 1,), size, stride, section.integer("padding", size - 1))


def _upsample(section: _Section, index: int) -> Upsample:
    if section.floats("scale", [1.0]) != [1.0]:
        raise section.error("a scale other than 1 is not supported")
    return Upsample(str(section), (index - 1,), section.integer("stride", 2, low=1))


def _route(section: _Section, index: int) -> Route:
    groups = section.integer("groups", 1, low=1)
    group = section.integer("group_id", 0)
    if group >= groups:
        raise section.error(f"group_id={group} is not below groups={groups}")
    sources = tuple(_absolute(section, "layers", layer, index) for layer in section.integers("layers"))
    return Route(str(section), sources, groups, group)


def _shortcut(section: _Section, index: int) -> Shortcut:
    for key in ("alpha", "beta"):
        if section.floats(key, [1.0]) != [1.0]:
            raise section.error(f"{key} other than 1 is not supported")
    source = _absolute(section, "from", section.integer("from", low=-index), index)
    return Shortcut(str(section), (index - 1, source), section.activation("linear"))


def _absolute(section: _Section, key: str, layer: int, index: int) -> int:
    absolute = layer if layer >= 0 else index + layer
    if not 0 <= absolute < index:
        raise section.error(f"{key} names layer {layer}, which is not before this one")
    return absolute


def _yolo(section: _Section, index: int) -> Yolo:
    section.only("new_coords", 0)
    numbers = section.floats("anchors")
    count = section.integer("num", 1, low=1)
    if len(numbers) != 2 * count:
        raise section.error(f"num={count} takes {2 * count} numbers in anchors, not {len(numbers)}")
    if min(numbers) <= 0:
        raise section.error("anchors must be positive")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    mask = section.integers("mask", list(range(count)))
    if not all(0 <= anchor < count for anchor in mask):
        raise section.error(f"mask names anchors that do not exist: num={count}")
    (scale_x_y,) = section.floats("scale_x_y", [1.0])
    return Yolo(
        section=str(section),
        sources=(index - 1,),
        classes=section.integer("classes", 20, low=1),
        anchors=tuple(pairs[anchor] for anchor in mask),
        scale_x_y=scale_x_y,
    )


_READERS: Mapping[str, tuple[str, Callable[[_Section, int], Layer]]] = {
    "convolutional": (
        "filters size stride pad padding groups activation batch_normalize binary xnor flipped dot",
        _convolutional,
    ),
    "maxpool": ("size stride padding", _maxpool),
    "upsample": ("stride scale", _upsample),
    "route": ("layers groups group_id", _route),
    "shortcut": ("from activation alpha beta", _shortcut),
    "yolo": ("classes num mask anchors scale_x_y new_coords", _yolo),
}
