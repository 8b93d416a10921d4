"""For formats that say little of themselves: the network is called with noise, and its answers are looked at.

An original is a function of one array, in the type and layout that it takes, to its outputs by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from exporters.adding import naive
from exporters.adding.plan import Fact, Plan
from exporters.errors import UnclearModelError

Arrays = Mapping[str, npt.NDArray[Any]]
Original = Callable[[npt.NDArray[Any]], Arrays]

_SEED = 7
_SUM_TOLERANCE = {"float16": 5e-3}  # of probabilities; their sum in half precision is exact to three digits


def noise(shape: Sequence[int], dtype: str) -> npt.NDArray[Any]:
    """Pixels of noise for UINT8, normal values for anything else."""
    generator = np.random.default_rng(_SEED)
    if dtype == "uint8":
        return generator.integers(0, 256, shape, np.uint8)
    return generator.normal(size=shape).astype(dtype)


def max_batch_size(original: Original, batch: npt.NDArray[Any]) -> tuple[int, Fact]:
    """Whether an original answers each row of a batch as it answers the row alone: 8, or else 1.

    Raises:
        UnclearModelError: it answers the same input differently each time.
    """
    alone = [original(batch[row : row + 1]) for row in range(len(batch))]
    if not _agree(original(batch[:1]), alone[0], 0):
        raise UnclearModelError(
            "the model answers the same input differently each time: export it for inference (PyTorch: call eval() "
            "before; Keras: training=False)"
        )
    try:
        together = original(batch)
        batches = all(_agree(together, answer, row) for row, answer in enumerate(alone))
    except Exception:  # the frameworks' errors have no common base
        batches = False
    if batches:
        return 8, Fact("batches", "up to 8", "two inputs at once are answered as each alone")
    return 1, Fact("batches", "one input at a time", "the file's batch dimension is fixed to 1")


def _agree(batch: Arrays, alone: Arrays, row: int) -> bool:
    for name, expected in alone.items():
        found = batch[name]
        if found.shape[1:] != expected.shape[1:] or len(found) <= row or len(expected) != 1:
            return False
        one, other = (value.astype(np.float64) for value in (found[row], expected[0]))
        allowed = 1e-3 * np.ptp(other) + 1e-5 * np.abs(other).max() if other.size else 0.0
        if not np.abs(one - other).max(initial=0.0) <= allowed:
            return False
    return True


def activation(rows: npt.NDArray[Any]) -> tuple[Literal["softmax", "none"], Fact]:
    """What makes probabilities of a classifier's answer to noise, [N,classes]."""
    sums = rows.astype(np.float64).sum(axis=1)
    tolerance = _SUM_TOLERANCE.get(rows.dtype.name, 1e-3)
    if rows.min() >= 0 and np.abs(sums - 1).max() <= tolerance:
        return "none", Fact("softmax", "in the model", "its answers to noise are probabilities: they sum to 1")
    if rows.min() >= 0 and rows.max() <= 1:
        source = "its answers to noise lie in 0..1 and do not sum to 1, as of a sigmoid for each class"
        return "none", Fact("softmax", "in the model", source, False, "--softmax")
    return "softmax", Fact("softmax", "added", "its answers to noise are logits: they do not sum to 1")


def answers(plan: Plan, samples: npt.NDArray[Any], original: Original) -> dict[str, npt.NDArray[Any]]:
    """The reference of `exporters.adding.formats`: an original's answers, one sample after another.

    Args:
        plan: of the artefact.
        samples: UINT8 [N,H,W,C], or FP32 [N,length].
        original: takes what naive.prepare gives, whatever its type.
    """
    rows = []
    for sample in samples:
        outputs = original(naive.prepare(sample, plan))
        rows.append(naive.present({name: outputs[name] for name in plan.original_outputs}, sample, plan))
    return {name: np.stack([row[name] for row in rows]) for name in plan.outputs}
