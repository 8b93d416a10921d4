"""From what a file says and what the user states to a plan; an error names the flag of what neither settles."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporters.adding import metadata
from exporters.adding.plan import Description, Fact, Head, Hints, Plan, ResizeMode, Task
from exporters.darknet.model import read_lines
from exporters.errors import UnclearModelError, UnknownFormatError
from modelport.adding.options import Resize

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_TASKS: dict[str, Task] = {"detect": "detection", "classify": "classification"}
_CROP_SHARE = 224 / 256  # what ImageNet's models usually see of the shorter side


def model_name(stated: str | None, file: Path) -> str:
    """The name of a model: as stated, or made of the file's.

    Raises:
        UnclearModelError: it is not one that the repository allows.
    """
    name = stated if stated is not None else re.sub(r"[^A-Za-z0-9_-]+", "_", file.stem).strip("_-")
    if not _NAME.fullmatch(name):
        raise UnclearModelError(
            f"{name!r} is no name for a model (letters, digits, - and _, a letter or digit first, 63 at most)", "--name"
        )
    return name


def hints(stated: argparse.Namespace) -> Hints:
    """What the command line says that helps to inspect the file."""
    labels = len(read_labels(stated.labels)) if stated.labels else 0
    return Hints(stated.task, stated.size, labels, stated.head or "")


def decide(found: Description, stated: argparse.Namespace, name: str) -> tuple[Plan, tuple[Fact, ...]]:
    """The plan of a model.

    Args:
        found: by looking at the file.
        stated: the command line.
        name: of the model.

    Returns:
        The plan, and what was assumed or decided beside the facts that were found.

    Raises:
        UnclearModelError: something is not settled, or what is stated contradicts the file.
    """
    decisions = _Decisions(found, stated)
    task = decisions.task()
    common: dict[str, Any] = {
        "name": name,
        "task": task,
        # only a classifier has outputs whose names may have an index behind them
        "platform": "onnxruntime_onnx"
        if found.platform == "pytorch_libtorch" and task != "classification"
        else found.platform,
        "original_input": next(iter(found.inputs), ""),
        "max_batch_size": found.max_batch_size,
        "licence": stated.licence,
        "accuracy": stated.accuracy,
    }
    kind = {"detection": decisions.detector, "anomaly": decisions.anomaly}.get(task, decisions.classifier)
    return Plan(**common, **kind()), tuple(decisions.facts)


class _Decisions:
    """Collects the fields of a plan, and the facts that say why."""

    def __init__(self, found: Description, stated: argparse.Namespace) -> None:
        self.found = found
        self.stated = stated
        self.facts: list[Fact] = []

    def task(self) -> Task:
        known = _TASKS.get(str(self.found.metadata.get("task")))
        if self.stated.task and known and self.stated.task != known:
            raise UnclearModelError(f"the file says that it is for {known}, not {self.stated.task}", "--task")
        task: Task | None = self.stated.task or known
        if task is None:
            raise UnclearModelError("the file does not say what it is for", "--task")
        return task

    def detector(self) -> dict[str, Any]:
        head = self._head()
        resize = self._resize(head.resize_mode, "letterbox")
        return {
            **self._image(3, head, resize),
            "resize_mode": resize.mode,
            "original_outputs": tuple(self.found.outputs),
            "labels": self._labels(head.classes),
            "head": head.name,
            "head_options": head.options,
        }

    def classifier(self) -> dict[str, Any]:
        task = self.task()
        output = self._output()
        classes = self.found.classes if output == self.found.scores else self._last_dim(output)
        if classes is None:
            raise UnclearModelError("no output holds one score for each class of an image", "--output")
        activation = {"add": "softmax", "none": "none"}.get(self.stated.softmax or "", self.found.activation)
        if activation is None:
            raise UnclearModelError("it cannot be seen whether the output is logits or probabilities", "--softmax")
        fields: dict[str, Any] = {"original_outputs": (output,) if output else (), "activation": activation}
        if task == "digits":
            labels = self._labels(classes, default=tuple("0123456789"))
            return {**fields, **self._image(1, None, Resize("stretch")), "labels": labels}
        resize = self._resize(None, "center_crop")
        image = self._image(3, None, resize)
        fields |= {**image, "resize_mode": resize.mode, "labels": self._labels(classes)}
        if resize.mode == "letterbox":
            raise UnclearModelError(
                "a classifier's images are cropped or stretched, not laid into a letterbox", "--resize"
            )
        if resize.mode == "center_crop":
            shorter = resize.shorter or self.found.resize_size or round(min(image["size_hw"]) / _CROP_SHARE)
            fields["resize_size"] = shorter
            if self.stated.resize is None:
                self._assume("resize", f"crop:{shorter}:{min(image['size_hw'])}", "usual for ImageNet's", "--resize")
        if self.found.interpolation:
            fields["interpolation"] = self.found.interpolation
        return fields

    def anomaly(self) -> dict[str, Any]:
        if self.stated.threshold is None:
            raise UnclearModelError("the error above which a window is an anomaly is not known", "--threshold")
        _, shape = next(iter(self.found.inputs.values()))
        dims = [size for size in shape[1:] if size not in (None, 1)]
        length = dims[0] if len(dims) == 1 else self.stated.size and self.stated.size[1]
        if length is None:
            raise UnclearModelError("the length of a window is not known (--size 1xLENGTH)", "--size")
        mean, std = self.stated.normalise or ((0.0,), (1.0,))
        if len(mean) != 1 or len(std) != 1:
            raise UnclearModelError("a window has one mean and one standard deviation", "--normalise")
        return {
            "length": length,
            "mean": mean,
            "std": std,
            "threshold": self.stated.threshold,
            "original_outputs": (self._output(),) if self.found.outputs else (),
        }

    def _image(self, usual_channels: int, head: Head | None, resize: Resize) -> dict[str, Any]:
        """The fields about the input that all models of images have."""
        found, stated = self.found, self.stated
        channels = found.channels or usual_channels
        layout = stated.layout or found.layout
        if layout is None:
            raise UnclearModelError("it cannot be seen whether channels come first or last", "--layout")
        if found.layout and layout != found.layout and self._is_sure("layout"):
            raise UnclearModelError(f"the input's shape says {found.layout}, not {layout}", "--layout")
        size = stated.size or found.size_hw or ((resize.side, resize.side) if resize.side else None)
        if size is None:
            raise UnclearModelError(
                "the model takes images of any size, and does not say which it was trained for", "--size"
            )
        fixed = self._fixed_size(layout)
        if any(one not in (None, other) for one, other in zip(fixed, size, strict=True)):
            raise UnclearModelError(f"the model takes {fixed[0]}x{fixed[1]}, not {size[0]}x{size[1]}", "--size")
        if resize.side and (resize.side, resize.side) != tuple(size):
            raise UnclearModelError(
                f"the crop is {resize.side} wide, and the model takes {size[0]}x{size[1]}", "--resize"
            )
        mean, std = self._scaling(head, channels)
        order = stated.channel_order or found.channel_order or (head.channel_order if head else None)
        if order is None:
            order = "rgb"
            if channels == 3:
                self._assume("channel order", "rgb", "usual", "--channel-order")
        return {
            "size_hw": tuple(size),
            "channels": channels,
            "layout": layout,
            "mean": mean,
            "std": std,
            "channel_order": order if channels == 3 else "rgb",
        }

    def _scaling(self, head: Head | None, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        found = self.found
        if self.stated.normalise:
            mean, std = self.stated.normalise
            source = "stated: mean and deviation of pixels in 0..255"
            if found.mean and found.std and (found.mean, found.std) != (mean, std):
                source = f"stated, against what was found in the file ({_shown(found.mean, found.std)})"
            self.facts.append(Fact("scaling", _shown(mean, std), source))
        elif found.mean is not None and found.std is not None:
            mean, std = found.mean, found.std
        elif head and head.mean is not None and head.std is not None:
            mean, std = head.mean, head.std
        else:
            raise UnclearModelError("it cannot be seen how pixels were scaled in training", "--normalise")
        if {len(mean), len(std)} - {1, channels}:
            raise UnclearModelError(
                f"the model takes {channels} channel(s): state as many numbers, or one", "--normalise"
            )
        return tuple(mean), tuple(std)

    def _resize(self, fixed: ResizeMode | None, usual: ResizeMode) -> Resize:
        if self.stated.resize:
            resize: Resize = self.stated.resize
            return resize
        known = self.found.resize_mode or fixed
        if known is None and usual != "center_crop":  # that one is stated with its numbers
            self._assume("resize", usual, "usual for detectors", "--resize")
        return Resize(known or usual)

    def _head(self) -> Head:
        heads = self.found.heads
        if not heads:
            outputs = ", ".join(f"{name} {list(shape)}" for name, (_, shape) in self.found.outputs.items())
            raise UnknownFormatError(
                f"the outputs are not those of a detector that is known ({outputs}): docs/your-own-model.md lists these"
            )
        if len(heads) > 1 and not all(fact.sure for fact in heads[0].facts[:1]):
            raise UnclearModelError(f"several heads fit: {', '.join(head.name for head in heads)}", "--head")
        self.facts += heads[0].facts
        return heads[0]

    def _output(self) -> str:
        outputs = self.found.outputs
        if self.stated.output:
            if self.stated.output not in outputs:
                raise UnclearModelError(f"there is no output {self.stated.output!r}: {', '.join(outputs)}", "--output")
            return str(self.stated.output)
        if self.found.scores:
            if not self._is_sure("output read"):
                raise UnclearModelError(f"several outputs could hold the scores: {', '.join(outputs)}", "--output")
            return self.found.scores
        if len(outputs) > 1:
            raise UnclearModelError(f"there are several outputs: {', '.join(outputs)}", "--output")
        return next(iter(outputs), "")

    def _labels(self, classes: int, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        if self.stated.labels:
            labels = read_labels(self.stated.labels)
            if classes and len(labels) != classes:
                name = self.stated.labels.name
                raise UnclearModelError(
                    f"{name} has {len(labels)} labels, the network has {classes} classes", "--labels"
                )
            return labels
        labels = self.found.labels or (default if len(default) == classes else ())
        if not labels:
            raise UnclearModelError(f"the file does not name its {classes or 'own'} classes", "--labels")
        if classes and len(labels) != classes:
            raise UnclearModelError(f"the file names {len(labels)} classes, and has {classes}", "--labels")
        return labels

    def _fixed_size(self, layout: str) -> Sequence[int | None]:
        _, shape = next(iter(self.found.inputs.values()), ("", ()))
        if len(shape) != 4:
            return (None, None)
        return shape[2:] if layout == "nchw" else shape[1:3]

    def _last_dim(self, output: str) -> int | None:
        _, shape = self.found.outputs[output]
        return shape[1] if len(shape) >= 2 and all(size == 1 for size in shape[2:]) else None

    def _is_sure(self, what: str) -> bool:
        return all(fact.sure for fact in self.found.facts if fact.what == what)

    def _assume(self, what: str, value: str, source: str, flag: str) -> None:
        self.facts.append(Fact(what, value, source, False, flag))


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels in a file: one a line, or a list or mapping in JSON or YAML, also under a key such as `names`.

    Raises:
        ExportError: it cannot be read.
    """
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        return metadata.labels_in(path)
    return tuple(read_lines(path))


def _shown(mean: Sequence[float], std: Sequence[float]) -> str:
    return " : ".join(" ".join(f"{value:g}" for value in values) for values in (mean, std))
