"""The golden answer of a model, golden/answer.json: exporters write it, golden checks compare with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Expected:
    """The leading rows that an output must have, without the batch dimension, and their absolute tolerance."""

    values: npt.NDArray[Any]
    atol: float


def read_answer(path: Path) -> Mapping[str, Expected]:
    """The expected outputs in a file, by tensor name, values FP64.

    Raises:
        FileNotFoundError: there is no such file.
        KeyError, ValueError: it is not well-formed.
    """
    return {
        name: Expected(np.array(output["values"], np.float64), float(output["atol"]))
        for name, output in json.loads(path.read_text())["outputs"].items()
    }
