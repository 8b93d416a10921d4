"""Models whose outputs are more than boxes: what they are, and how a detector is made of them."""

from exporters.heads.evidence import Evidence, Tensor
from exporters.heads.tables import tables

_DETECTOR = "train or export a model for detection (Ultralytics: a checkpoint without -seg, -pose or -obb)"
_TASKS = {
    "segment": f"an instance segmentation model, whose masks Modelport does not answer: {_DETECTOR}",
    "pose": f"a pose model, whose keypoints Modelport does not answer: {_DETECTOR}",
    "obb": f"a detector of oriented boxes, whose angles Modelport does not answer: {_DETECTOR}",
    "classify": "a classifier: add it with --task classification",
}


def refusal(evidence: Evidence) -> str | None:
    """What a model is that has no head for boxes alone, and what to do; None for all others."""
    task, reason = _task(evidence)
    return f"{reason}: this is {_TASKS[task]}" if task else None


def _task(evidence: Evidence) -> tuple[str, str]:
    """A key of _TASKS, and by what it was recognised."""
    stated = evidence.told("task")
    if stated in _TASKS:
        return stated, f"the file's metadata says task: {stated}"
    for tensor in evidence.outputs:
        if _are_masks(tensor):
            return "segment", f"output {tensor.name} {tensor.sizes} holds masks"
        if tensor.called in ("keypoints", "keypoints_scores", "simcc_x"):
            return "pose", f"output {tensor.name} {tensor.sizes} holds keypoints"
    for table in tables(evidence):
        values = table.column(4)
        if values is None or table.rows <= table.columns or table.columns < 6:
            continue
        first, last = values[:, :, 0], values[:, :, -1]
        scores = first.min() >= 0 and first.max() <= 1
        if (
            scores
            and table.columns >= 10
            and values.max() > 4
            and (table.columns - 5) % 3 * ((table.columns - 5) % 2) == 0
        ):
            return "pose", f"output {table.tensor.name} {table.tensor.sizes} holds coordinates where scores would be"
        if scores and table.transposed and values[:, :, :-1].max() <= 1 and (last.min() < 0 or last.max() > 1.0001):
            return "obb", f"the last value of each box in output {table.tensor.name} is an angle, not a score"
    if (
        len(evidence.outputs) == 1
        and len(evidence.outputs[0].shape) == 2
        and evidence.outputs[0].shape[1] not in (4, 5, 6, 7)
    ):
        return "classify", f"the only output {evidence.outputs[0].name} {evidence.outputs[0].sizes} has no boxes"
    return "", ""


def _are_masks(tensor: Tensor) -> bool:
    """Prototypes [N,32,H,W] beside a table of boxes, or masks of the Mask R-CNN kind [K,1,H,W]."""
    if tensor.called in ("masks", "pred_masks", "proto", "protos"):
        return True
    return len(tensor.shape) == 4 and tensor.shape[1] == 32 and None not in tensor.shape[2:]
