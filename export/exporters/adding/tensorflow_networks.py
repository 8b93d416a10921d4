"""TensorFlow networks, of SavedModels and .keras files: they are looked at, and wrapped in a function."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import saved_model
from exporters.adding import looking, metadata, naive
from exporters.adding.plan import Description, Fact, Head, Hints, Layout, Plan, TensorType
from exporters.adding.tensorflow_scaling import Network, scaling
from exporters.config import Tensor
from exporters.darknet.graph import PAIRS
from exporters.errors import ArtefactRefusedError, UnclearModelError, UnknownFormatError, last_line

_SIDE = 224  # of an image whose size is left open
_DETECTION = ("detection_boxes", "detection_scores", "detection_classes")
_COUNT = "num_detections"


def described(network: Network, form: str, stated: Mapping[str, Any], hints: Hints) -> Description:
    """Describe a network: of a window, or of images, with OD API's outputs or with one of [N,classes].

    Raises:
        UnclearModelError: its input is none of these.
        UnknownFormatError: its outputs are none of these.
    """
    batch, *dims = network.shape
    if len(dims) not in (1, 2, 3) or batch not in (None, 1) or "int" in network.dtype.removeprefix("uint8"):
        raise UnclearModelError(
            f"the model takes {network.dtype}{_text(network.shape)}: export it for images [N,H,W,3] or windows "
            "[N,length] with a batch of any size"
        )
    facts = [Fact("input", f"{network.name} {network.dtype}{_text(network.shape)}", "the signature")]
    found = _input(network, facts)
    settled = metadata.settled(stated, facts)
    found |= settled
    height, width = found.get("size_hw") or hints.size_hw or (_SIDE, _SIDE)
    sides = (height, width, found.get("channels")) if found.get("layout") == "nhwc" else (3, height, width)
    shape = tuple(size or side for size, side in zip(dims, sides if len(dims) == 3 else dims, strict=True))
    noise = looking.noise((2, *(size or (hints.size_hw or (1, 64))[1] for size in shape)), network.dtype)
    try:
        largest, fact = looking.max_batch_size(network, noise)
    except UnclearModelError:
        raise
    except Exception as exc:  # TensorFlow's errors have no common base
        raise UnclearModelError(f"the model cannot be called with {_text(noise.shape)} ({last_line(exc)})") from exc
    outputs = network(noise[:1])
    types: dict[str, TensorType] = {
        name: (value.dtype.name, (None, *value.shape[1:])) for name, value in outputs.items()
    }
    facts += [Fact("output", f"{name} {kind}{_text(size)}", "its answer") for name, (kind, size) in types.items()]
    facts.append(fact)
    if len(dims) == 3:
        found |= _answers(outputs, facts)
    return Description(
        form,
        "tensorflow_savedmodel",
        {network.name: (network.dtype, (None if largest > 1 else 1, *dims))},
        types,
        dict(stated),
        max_batch_size=largest,
        facts=tuple(facts),
        **found,
    )


def _text(shape: tuple[int | None, ...]) -> str:
    return f" [{', '.join('?' if size is None else str(size) for size in shape)}]"


def _input(network: Network, facts: list[Fact]) -> dict[str, Any]:
    """What the input's shape and type say, and the first operators behind it."""
    if len(network.shape) != 4:
        return {}
    _, first, _, last = network.shape
    layout: Layout = "nchw" if first in (1, 3) and last not in (1, 3) else "nhwc"
    facts.append(Fact("layout", layout, f"the shape of {network.name}"))
    height, width = network.shape[2:] if layout == "nchw" else network.shape[1:3]
    found: dict[str, Any] = {"layout": layout, "channels": (first if layout == "nchw" else last) or 3}
    if height and width:
        found["size_hw"] = (height, width)
        facts.append(Fact("input size", f"{height}x{width}", f"the shape of {network.name}"))
    else:
        facts.append(Fact("input size", "any", f"the shape of {network.name}", True, "--size"))
    found |= scaling(network, facts)
    return found


def _answers(outputs: Mapping[str, npt.NDArray[Any]], facts: list[Fact]) -> dict[str, Any]:
    """What the outputs for images are."""
    if all(name in outputs for name in _DETECTION):
        return {"heads": (_object_detection_head(outputs),)}
    rows = {
        name: value.reshape(1, -1)
        for name, value in outputs.items()
        if value.ndim >= 2 and value.size == value.shape[1] * len(value) and value.dtype.kind == "f"
    } or {name: value for name, value in outputs.items() if value.ndim == 4 and value.shape[1:3] == (1, 1)}
    if not rows:
        raise UnknownFormatError(
            f"the model's outputs ({', '.join(outputs)}) are neither classes [N,classes] nor those of TensorFlow's "
            "Object Detection API: convert it to ONNX (python -m tf2onnx.convert --saved-model FOLDER --output "
            "model.onnx), and add that"
        )
    preferred = [name for name in rows if any(word in name.lower() for word in ("prob", "softmax"))]
    name = next(iter(preferred or rows))
    if len(outputs) > 1:
        facts.append(Fact("output read", name, f"one of {', '.join(outputs)}", bool(preferred), "--output"))
    activation, fact = looking.activation(rows[name].reshape(1, -1))
    facts.append(fact)
    return {"classes": rows[name].size, "activation": activation, "scores": name}


def _object_detection_head(outputs: Mapping[str, npt.NDArray[Any]]) -> Head:
    boxes, scores, classes = _DETECTION
    options = {
        "boxes": boxes,
        "scores": scores,
        "classes": classes,
        "count": _COUNT if _COUNT in outputs else "",
        "layout": "yxyx",
        "pixels": False,
        "first_class": 1,
    }
    fact = Fact("head", "TensorFlow's Object Detection API", f"outputs {', '.join(_DETECTION)}")
    return Head("tf_od", options, 0, "stretch", (0.0,), (1.0,), "rgb", (fact,))


def build(network: Network, plan: Plan, artefact: Path) -> None:
    """Write model.savedmodel.

    Raises:
        ArtefactRefusedError: it does more than arithmetic, or OpenVINO, which serves it, cannot read it.
    """
    if plan.task == "anomaly":
        tensor = Tensor(plan.input, "TYPE_FP32", (plan.length,))
    else:
        tensor = Tensor(plan.input, "TYPE_UINT8", (*plan.size_hw, 1 if plan.task == "digits" else 3))
    served = {"anomaly": _windows, "detection": _detector}.get(plan.task, _classifier)
    rows = None if plan.max_batch_size > 1 else 1
    saved_model.build(artefact, lambda given: served(network, plan, given), tensor, rows)
    saved_model.refuse_dangerous(artefact)
    blank = np.zeros((1, *tensor.dims), np.float32 if plan.task == "anomaly" else np.uint8)
    try:
        saved_model.served_answer(artefact, plan.input, blank)
    except Exception as exc:  # OpenVINO's errors have no common base
        reasons = [line for line in str(exc).splitlines() if "No conversion rule" in line] or [last_line(exc)]
        raise ArtefactRefusedError(
            f"OpenVINO, which serves SavedModels, cannot read this one ({reasons[0].strip(' -')}): convert it to ONNX "
            "(python -m tf2onnx.convert --saved-model FOLDER --output model.onnx), and add that"
        ) from exc


def _pixels(network: Network, plan: Plan, images: Any) -> Any:
    """From UINT8 [N,H,W,C] RGB to what the network takes."""
    import tensorflow as tf

    pixels = images
    plain = not any(plan.mean) and all(value == 1 for value in plan.std)
    grey = plan.channels == 1 and plan.task != "digits"
    if not plain or grey or network.dtype != "uint8":
        pixels = tf.cast(pixels, tf.float32)
    if grey:
        pixels = tf.reduce_sum(pixels * tf.constant(naive.GREY), axis=3, keepdims=True)
    if plan.channel_order == "bgr":
        pixels = tf.gather(pixels, [2, 1, 0], axis=3)
    if not plain:
        pixels = (pixels - tf.constant(plan.mean, tf.float32)) / tf.constant(plan.std, tf.float32)
    if plan.layout == "nchw":
        pixels = tf.transpose(pixels, [0, 3, 1, 2])
    return tf.cast(pixels, network.dtype)


def _classifier(network: Network, plan: Plan, images: Any) -> dict[str, Any]:
    import tensorflow as tf

    answer = tf.cast(network.call(_pixels(network, plan, images))[plan.original_outputs[0]], tf.float32)
    scores = tf.reshape(answer, [-1, int(np.prod(answer.shape[1:]))])
    return {plan.outputs[0]: tf.nn.softmax(scores) if plan.activation == "softmax" else scores}


def _windows(network: Network, plan: Plan, windows: Any) -> dict[str, Any]:
    import tensorflow as tf

    mean, std = tf.constant(plan.mean[0], tf.float32), tf.constant(plan.std[0], tf.float32)
    given = tf.reshape((windows - mean) / std, _window_shape(network, plan))
    answer = network.call(tf.cast(given, network.dtype))[plan.original_outputs[0]]
    rebuilt = tf.reshape(tf.cast(answer, tf.float32), [-1, plan.length]) * std + mean
    mae = tf.reduce_mean(tf.abs(windows - rebuilt), axis=1, keepdims=True)
    return dict(zip(plan.outputs, (rebuilt, mae), strict=True))


def _window_shape(network: Network, plan: Plan) -> list[int]:
    """The shape of windows as the network takes them: [N,L], [N,L,1] or [N,1,L]."""
    dims = list(network.shape[1:])
    if dims == [None]:
        return [-1, plan.length]
    free = plan.length // int(np.prod([size or 1 for size in dims]))
    shape = [size or free for size in dims]
    if int(np.prod(shape)) != plan.length:
        raise UnclearModelError(f"the model takes windows {_text(network.shape)}, not of {plan.length} numbers")
    return [-1, *shape]


def _detector(network: Network, plan: Plan, images: Any) -> dict[str, Any]:
    """The best PAIRS of what OD API's outputs list, as boxes x1, y1, x2, y2."""
    import tensorflow as tf

    options = plan.head_options
    if plan.head != "tf_od":
        raise UnclearModelError(f"the head {plan.head} is decoded in ONNX graphs only: convert the model to ONNX")
    outputs = network.call(_pixels(network, plan, images))
    boxes, scores, classes = (tf.cast(outputs[options[name]], tf.float32) for name in ("boxes", "scores", "classes"))
    labels = classes - tf.constant(float(options["first_class"]))
    kept = tf.greater_equal(labels, 0.0)
    if options["count"]:
        count = tf.reshape(tf.cast(outputs[options["count"]], tf.float32), [-1, 1])
        kept = tf.logical_and(kept, tf.range(0.0, float(scores.shape[1]), 1.0)[tf.newaxis] < count)
    scores, labels = tf.where(kept, scores, 0.0), tf.where(kept, labels, 0.0)
    missing = [[0, 0], [0, PAIRS]]
    values, chosen = tf.math.top_k(tf.pad(scores, missing), PAIRS)
    corners = tf.pad(tf.gather(boxes, [1, 0, 3, 2], axis=2), [*missing, [0, 0]])
    found = (
        tf.gather(corners, chosen, batch_dims=1),
        values,
        tf.cast(tf.gather(tf.pad(labels, missing), chosen, batch_dims=1), tf.int32),
    )
    return dict(zip(plan.outputs, found, strict=True))


def reference(network: Network, plan: Plan, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """TensorFlow's answers. See exporters.adding.formats."""

    def original(row: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        given = row.reshape([1, *_window_shape(network, plan)[1:]]) if plan.task == "anomaly" else row
        return network(given.astype(network.dtype))

    return looking.answers(plan, samples, original)
