"""ONNX Runtime as Modelport's Triton backend uses it, on one thread."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt


def answer(path: Path, name: str, batch: npt.NDArray[Any], outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Run a model with one input.

    Args:
        path: of a model that keeps no data in other files.
        name: of the input.
        batch: [N, ...].
        outputs: names of those that are wanted.

    Returns:
        Arrays by output name.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, too; some are looked for, as by trying two images at once
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(list(outputs), {name: batch}), strict=True))
