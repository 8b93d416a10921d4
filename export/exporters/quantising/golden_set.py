"""The golden set of an int8 network: few inputs that show, on the processor that serves, whether it loses accuracy.

An answer leads to a decision: the most probable class, the best box, above the threshold or not. Arithmetic that loses
accuracy shifts answers, and turns those decisions first that were near to another one. So the golden set consists of
the inputs with the smallest margins of which the int8 network decided as fp32 does, on every processor it was proven
on: a few of them show what hundreds of random inputs would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erf, sqrt
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from exporters.errors import ArtefactRefusedError
from exporters.quantising.batches import Arrays

LOSS = 0.02  # share of decisions that a processor must not turn
POWER = 0.95  # probability to notice that it does
FALSE_ALARM = 1e-3  # probability that a processor that computes as those of the proof is refused
STORED_PIXELS = 128  # longest side of a golden image as it is stored
MOVED = 0.1  # how far a side of the best box may move, as a share of the image

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """What is decided by a model's answers."""

    # class, the most probable one of `output`; above, whether `output` is above `threshold`; box, the class and the
    # place of the best box
    kind: Literal["class", "above", "box"]
    output: str
    threshold: float = 0.0

    @classmethod
    def of(cls, outputs: Sequence[str], threshold: float | None) -> Decision:
        """The decision of a model, from the names of its outputs and the threshold in config.pbtxt.

        Raises:
            ArtefactRefusedError: the outputs are those of no task.
        """
        if {"boxes", "scores", "classes"} <= set(outputs):
            return cls("box", "scores")
        if "mae" in outputs and threshold is not None:
            return cls("above", "mae", threshold)
        if len(outputs) == 1:
            return cls("class", outputs[0])
        raise ArtefactRefusedError(f"outputs {', '.join(outputs)} belong to no task: there is nothing to prove int8 by")

    def stated(self) -> dict[str, Any]:
        """As proof.json names it for the backend."""
        return {"decision": self.kind, "output": self.output, "threshold": self.threshold, "moved": MOVED}

    def expected(self, outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """The decisions, as golden.npz has them, [N, ...] each."""
        if self.kind == "class":
            return {"class": outputs[self.output].argmax(-1).astype(np.int32)}
        if self.kind == "above":
            return {"above": outputs[self.output][:, 0] > self.threshold}
        return {"classes": outputs["classes"][:, 0], "boxes": outputs["boxes"][:, 0]}

    def agree(self, one: Arrays, other: Arrays) -> npt.NDArray[np.bool_]:
        """Which of two answers to each input lead to the same decision, [N]."""
        mine, theirs = self.expected(one), self.expected(other)
        same = [
            np.abs(mine[name] - theirs[name]).max(-1) <= MOVED if name == "boxes" else mine[name] == theirs[name]
            for name in mine
        ]
        return np.asarray(np.logical_and.reduce(same))

    def margins(self, outputs: Arrays) -> Floats:
        """How far each answer is from another decision, [N]; logarithms of ratios of scores."""
        scores = np.log(np.maximum(outputs[self.output].astype(np.float64), 1e-30))
        if self.kind == "above":
            return np.asarray(np.abs(scores[:, 0] - np.log(max(self.threshold, 1e-30))), np.float64)
        if self.kind == "class":
            second, first = np.partition(scores, -2, axis=-1)[:, -2:].T
            return np.asarray(first - second)
        boxes, classes = outputs["boxes"], outputs["classes"]
        other = (classes != classes[:, :1]) | (np.abs(boxes - boxes[:, :1]).max(-1) > MOVED)
        rival = np.where(other, scores, -np.inf).max(-1)
        return np.asarray(np.where(np.isfinite(rival), scores[:, 0] - rival, 0.0))


@dataclass(frozen=True)
class Plan:
    """Which inputs are a golden set, how many of its answers may be wrong, and what it sees."""

    chosen: tuple[int, ...]  # indices of inputs
    allowed: int
    loss: float
    power: float  # probability to notice that a processor turns `loss` of all decisions


def plan(margins: Floats, noise: float, usable: npt.NDArray[np.bool_], largest: int, loss: float = LOSS) -> Plan:
    """Choose the smallest golden set that notices a loss, or the best one of a size.

    A processor that loses accuracy shifts margins by a normal error whose size turns `loss` of all decisions; one that
    does not shifts them by `noise`.

    Args:
        margins: of the int8 network's answers to all inputs, [M].
        noise: standard deviation of the margins' differences between processors that the network was proven on.
        usable: inputs that may be chosen, [M].
        largest: number of inputs.
        loss: share of decisions, 0 to 1.

    Returns:
        A plan; its power is under POWER where `largest` inputs do not notice the loss.
    """
    scale = scale_of(margins, loss)
    order = [int(index) for index in np.argsort(margins, kind="stable") if usable[index]]
    healthy = [turned(margins[index], noise) for index in order]
    faulty = [turned(margins[index], scale) for index in order]
    best = Plan((), 0, loss, 0.0)
    for size in range(1, min(largest, len(order)) + 1):
        fine, lost = distribution(healthy[:size]), distribution(faulty[:size])
        allowed = int(np.argmax(np.cumsum(fine) >= 1 - FALSE_ALARM))
        power = float(1 - lost[: allowed + 1].sum())
        if power > best.power:
            best = Plan(tuple(order[:size]), allowed, loss, power)
        if power >= POWER:
            break
    return best


def scale_of(margins: Floats, loss: float) -> float:
    """The standard deviation of an error of margins that turns this share of decisions on average."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        share = np.mean([turned(margin, middle) for margin in margins])
        low, high = (middle, high) if share < loss else (low, middle)
    return high


def turned(margin: float, scale: float) -> float:
    """The probability that a normal error of this standard deviation exceeds a margin."""
    return 0.5 * (1 - erf(margin / (scale * sqrt(2)))) if scale > 0 else 0.0


def distribution(probabilities: Sequence[float]) -> Floats:
    """The distribution of a number of independent events, [N + 1] (Poisson binomial)."""
    found = np.ones(1)
    for probability in probabilities:
        found = np.convolve(found, [1 - probability, probability])
    return found


def reduced(inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Inputs as golden.npz stores them: of large images, [N,H,W,C], every so many rows and columns."""
    if inputs.ndim != 4 or max(inputs.shape[1:3]) <= STORED_PIXELS:
        return inputs
    step = -(-max(inputs.shape[1:3]) // STORED_PIXELS)
    return np.ascontiguousarray(inputs[:, ::step, ::step])


def restored(stored: npt.NDArray[Any], dims: Sequence[int]) -> npt.NDArray[Any]:
    """Stored inputs at the model's size; the backend does the same (triton/backends/int8.py)."""
    if stored.shape[1:] == tuple(dims):
        return stored
    rows, columns = (np.arange(size) * stored.shape[axis] // size for axis, size in ((1, dims[0]), (2, dims[1])))
    return np.ascontiguousarray(stored[:, rows][:, :, columns])


def contents(
    decision: Decision, inputs: npt.NDArray[Any], expected: Arrays, chosen: Sequence[int]
) -> Mapping[str, npt.NDArray[Any]]:
    """What golden.npz contains: stored inputs and fp32's decisions."""
    rows = list(chosen)
    return {"inputs": inputs[rows], **{name: values[rows] for name, values in decision.expected(expected).items()}}
