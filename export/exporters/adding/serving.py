"""An artefact's answers by the engines that Modelport's Triton backends use; no framework is needed."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import conversion, onnx_engine, repository, saved_model, torchscript
from exporters.adding.plan import Plan
from exporters.errors import ArtefactRefusedError, last_line

FILENAMES = {
    "onnxruntime_onnx": "model.onnx",
    "pytorch_libtorch": torchscript.FILENAME,
    "tensorflow_savedmodel": saved_model.FILENAME,
}


def served(model_dir: Path, plan: Plan, batch: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Run the newest artefact in the folder of a model; TorchScript has been converted.

    Args:
        model_dir: with config.pbtxt and versions.
        plan: of the artefact.
        batch: of the input.

    Returns:
        The outputs by name, [N, ...] each.

    Raises:
        ArtefactRefusedError: the engine cannot load or run it.
    """
    artefact = model_dir / str(repository.versions(model_dir)[-1]) / FILENAMES[plan.platform]
    try:
        if plan.platform == "onnxruntime_onnx":
            return onnx_engine.answer(artefact, plan.input, batch, plan.outputs)
        if plan.platform == "tensorflow_savedmodel":
            found = saved_model.served_answer(artefact, plan.input, batch)
            return {name: found[name] for name in plan.outputs}
        return dict(zip(plan.outputs, conversion.served_answer(model_dir, [batch]), strict=True))
    except Exception as exc:  # the engines' errors have no common base
        raise ArtefactRefusedError(f"{artefact.name} cannot be served ({last_line(exc)})") from exc


def takes_batches(model_dir: Path, plan: Plan, samples: npt.NDArray[Any]) -> bool:
    """Whether an artefact answers several samples together as it answers each alone."""
    decisive = plan.outputs[1 if plan.task == "detection" else 0]  # boxes of equal scores may change places
    alone = [served(model_dir, plan, samples[index : index + 1])[decisive] for index in range(len(samples))]
    try:
        together = served(model_dir, plan, samples)[decisive]
    except ArtefactRefusedError:
        return False
    expected = np.concatenate(alone)
    return together.shape == expected.shape and np.allclose(
        together, expected, rtol=0, atol=1e-3 * max(1e-6, float(np.abs(expected).max()))
    )
