"""Inputs and answers of networks, by tensor name, in batches and as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]  # by tensor name, [N, ...] each
Network = Callable[[Arrays], Arrays]  # from a batch of inputs to its outputs


def batches(inputs: Arrays, size: int = 8) -> Iterator[Arrays]:
    """Inputs in batches of at most so many."""
    for start in range(0, len(next(iter(inputs.values()))), size):
        yield {name: values[start : start + size] for name, values in inputs.items()}


def joined(answers: Sequence[Arrays]) -> dict[str, npt.NDArray[Any]]:
    """Answers to batches as one; outputs that are not in all of them are left out."""
    names = set.intersection(*(set(one) for one in answers)) if answers else set()
    return {name: np.concatenate([one[name] for one in answers]) for name in sorted(names)}
