"""The command line of `modelport add`."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from exporters.adding.plan import ChannelOrder, Layout, ResizeMode, Task
from modelport.arguments import positive

_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # torchvision's, for pixels in 0..255
_SCALINGS = {
    "imagenet": _IMAGENET,
    "0..1": ((0.0,), (255.0,)),
    "-1..1": ((127.5,), (127.5,)),
    "0..255": ((0.0,), (1.0,)),
}


@dataclass(frozen=True)
class Resize:
    """How images are brought to the input."""

    mode: ResizeMode  # of the transformer
    # length of the shorter side before the crop, in pixels; None: 8/7 of the input's, as for ImageNet
    shorter: int | None = None
    side: int | None = None  # of the crop, that is of the input; None: the model says it


Scaling = tuple[tuple[float, ...], tuple[float, ...]]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="modelport add",
        description="Serve a model of your own: build its artefact, compare it with the original, declare a service.",
        epilog="docs/your-own-model.md has examples. Exit code 2: a flag is missing, which the message names.",
    )
    add = parser.add_argument
    add(
        "file",
        type=Path,
        metavar="FILE",
        help="ONNX, TorchScript, .pt2, .keras, Darknet's .weights, or the folder of a SavedModel or of Hugging Face",
    )
    add("--task", choices=get_args(Task), help="what the model does")
    add("--labels", type=Path, metavar="FILE", help="names of the classes, one a line, in the order of the classes")
    add("--sample", type=Path, metavar="FILE", help="an image (or a JSON list, a window) whose answer you can judge")
    add("--name", help="of the model (default: the file's name)")
    add("--size", type=_size, metavar="HxW", help="of the input in pixels, such as 640x640")
    add(
        "--resize",
        type=_resize,
        metavar="RULE",
        help="crop:256:224 (shorter side to 256, then the middle), letterbox or stretch",
    )
    add(
        "--normalise",
        type=_scaling,
        metavar="SCALE",
        help="imagenet, 0..1, -1..1, 0..255 or MEAN:STD, three numbers each with commas; a window takes one",
    )
    add("--layout", choices=get_args(Layout), help="of the original's input")
    add("--channel-order", choices=get_args(ChannelOrder), help="of the original's input")
    add("--head", help="of a detector, where several would fit")
    add("--output", help="name of the output that holds the scores, where several could")
    add("--softmax", choices=("add", "none"), help="whether the output still has to go through a softmax")
    add("--threshold", type=positive, help="of an anomaly detector: the error above which a window is an anomaly")
    add(
        "--service",
        metavar="NAME",
        help="a new service, or one whose chain the model joins, in front (default: the model's name)",
    )
    add("--fallback", action="store_true", help="join the chain of --service at its end")
    add("--licence", default="not stated", help="of the weights")
    add("--accuracy", default="not stated", help="as it was measured, such as '81.6 %% of 5000 photos'")
    add("--yes", action="store_true", help="take the answer for the sample as right, without being asked")
    return parser


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text)
    if match is None or 0 in (size := (int(match[1]), int(match[2] or match[1]))):
        raise argparse.ArgumentTypeError(f"{text!r}: write HEIGHTxWIDTH in pixels, such as 640x640")
    return size


def _resize(text: str) -> Resize:
    if text in ("letterbox", "stretch"):
        return Resize(text)  # type: ignore[arg-type]
    match = re.fullmatch(r"crop(?::([1-9]\d{0,4}))?(?::([1-9]\d{0,4}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write crop:256:224, letterbox or stretch")
    shorter, side = (int(part) if part else None for part in match.groups())
    if shorter and side and side > shorter:
        raise argparse.ArgumentTypeError(f"{text!r}: the crop cannot be larger than the side that it is cut from")
    return Resize("center_crop", shorter, side)


def _scaling(text: str) -> Scaling:
    if text in _SCALINGS:
        return _SCALINGS[text]
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split(":"))
    except ValueError:
        mean = std = ()
    if len(mean) not in (1, 3) or len(std) not in (1, 3) or not all(0 < value < 1e6 for value in std):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write imagenet, 0..1, -1..1, 0..255, or MEAN:STD such as 0.5,0.5,0.5:0.25,0.25,0.25"
        )
    if max(map(abs, mean)) <= 1 and max(std) < 1:  # stated for pixels in 0..1, as PyTorch's users do
        return tuple(255 * value for value in mean), tuple(255 * value for value in std)
    return mean, std
