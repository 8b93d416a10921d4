"""Pre- and post-processing as a person would write it for one sample: what artefacts are compared with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import heads
from exporters.adding.plan import Plan

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's convert("L")


def prepare(sample: npt.NDArray[Any], plan: Plan) -> npt.NDArray[np.float64]:
    """What the original takes of one sample.

    Args:
        sample: UINT8 [H,W,C] RGB, or FP32 [length].
        plan: of the model.

    Returns:
        [1,H,W,C] or [1,C,H,W] as the original's layout is; [1,length] for a window.
    """
    values = sample.astype(np.float64)
    if plan.task == "anomaly":
        return ((values - plan.mean[0]) / plan.std[0])[np.newaxis]
    if plan.channels == 1 and values.shape[2] == 3:
        values = np.sum(values * GREY, axis=2, keepdims=True)
    planes = []
    for index in range(plan.channels):
        source = plan.channels - 1 - index if plan.channel_order == "bgr" else index
        mean, std = plan.mean[index % len(plan.mean)], plan.std[index % len(plan.std)]
        planes.append((values[:, :, source] - mean) / std)
    return np.stack(planes, axis=0 if plan.layout == "nchw" else 2)[np.newaxis]


def present(outputs: Mapping[str, npt.NDArray[Any]], sample: npt.NDArray[Any], plan: Plan) -> dict[str, Any]:
    """The artefact's outputs for one sample, made of the original's.

    Args:
        outputs: of the original, by name, [1, ...] each.
        sample: see `prepare`.
        plan: of the model.

    Returns:
        Arrays by name, without the batch dimension.
    """
    if plan.task == "detection":
        single = {name: np.asarray(value, np.float32) for name, value in outputs.items()}
        found = heads.reference(single, plan.head, plan.head_options, plan.size_hw)
        return {name: np.asarray(found[base])[0] for name, base in zip(plan.outputs, BASES, strict=True)}
    (values,) = (np.asarray(value, np.float64)[0].ravel() for value in outputs.values())
    if plan.task == "anomaly":
        rebuilt = values * plan.std[0] + plan.mean[0]
        mae = np.mean([abs(one - other) for one, other in zip(sample.astype(np.float64), rebuilt, strict=True)])
        pair = (rebuilt.astype(np.float32), np.array([mae], np.float32))
        return dict(zip(plan.outputs, pair, strict=True))
    if plan.activation == "softmax":
        exponents = np.exp(values - values.max())
        values = exponents / exponents.sum()
    return {plan.outputs[0]: values.astype(np.float32)}


BASES = ("boxes", "scores", "classes")
