"""Labelled data: samples, each with the right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kserve_transformers.judging.answers import Answer

Content = bytes | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """A sample and its right answer."""

    name: str
    content: Callable[[], Content]  # reads it; raises OSError where it is missing
    right: Answer  # the labels, with scores of 1, and for detectors the boxes
    # of each box, whether it marks a group (COCO's iscrowd), which is neither missed nor found
    crowd: tuple[bool, ...] = ()


@dataclass(frozen=True)
class LabelledData:
    """Labelled samples; remarks: what is wrong with the data, with the names of what it is about."""

    form: str
    samples: tuple[Labelled, ...]
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)


def right_answer(*labels: str, boxes: npt.NDArray[np.float32] | None = None) -> Answer:
    """An answer that is known to be right: every score is 1."""
    return Answer(labels, np.ones(len(labels)), boxes)
