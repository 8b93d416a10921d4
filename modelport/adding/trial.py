"""A model is tried before it is added: built aside, compared with its original, and run on the user's sample."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from exporters.adding import serving
from exporters.adding.plan import Plan
from exporters.catalog import ONE_THREAD, TWO_INSTANCES, Placement
from exporters.config import FILENAME, Config, Tensor, read_config
from exporters.detections import Detections, differences, leading
from exporters.errors import ArtefactRefusedError, UnclearModelError, first_line
from exporters.golden import Golden
from exporters.parity import Difference, probability_tolerance
from exporters.repository import publish, write_config
from exporters.weights import Provenance
from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.arrays.golden import Expected
from kserve_transformers.client.drawing import draw_detections
from kserve_transformers.errors import ServingError
from kserve_transformers.predictor.declaration import Declaration
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.settings import Limits
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.task import Answered, Prepared, Task
from modelport.adding import frameworks
from modelport.exporting import convert_missing
from modelport.stack.chains import declaration

Arrays = dict[str, npt.NDArray[Any]]
_SEED = 7
_ROUNDING = 1e-3  # of probabilities, in half precision
_NOISE = 2  # samples of noise beside the user's own


@dataclass(frozen=True)
class Trial:
    """What came of it.

    The plan has the batch size that is true; `parity` is a line for each comparison, `answer` as a service would give
    it.
    """

    model_dir: Path
    plan: Plan
    parity: tuple[str, ...]
    answer: Mapping[str, Any]


def try_out(file: Path, plan: Plan, provenance: Provenance, sample: Path, folder: Path) -> Trial:
    """Build a model in a folder, and compare and ask it there.

    Args:
        file: the original.
        plan: of the model.
        provenance: of its weights.
        sample: the user's file.
        folder: of the model; it is empty or missing.

    Raises:
        ExportError: the model cannot be built, or does not answer as its original does.
        UnclearModelError: the answers show that something was stated or assumed wrongly.
    """
    task = build_task(ServiceSpec(plan.name.lower().replace("_", "-"), plan.task, (plan.name,)))
    write_config(folder, _config(plan))
    declared = declaration(read_config(folder / FILENAME), plan.labels)
    misfit = task.misfit(declared)
    if misfit:
        raise ArtefactRefusedError(f"the model does not fit {plan.task}: {misfit}")
    prepared = _prepare(task, sample, declared)
    samples = np.stack([prepared.row, *_noise(prepared.row)])
    expected = frameworks.reference(file, plan, samples)
    _require_probabilities(plan, expected)
    publish(
        folder,
        filename=serving.FILENAMES[plan.platform],
        build=lambda path: frameworks.build(file, plan, path),
        config=_config(plan),
        golden=_golden(plan, prepared.row, {name: rows[0] for name, rows in expected.items()}),
        provenance=provenance,
        labels=plan.labels,
    )
    convert_missing([folder])
    if plan.max_batch_size > 1 and not serving.takes_batches(folder, plan, samples):
        plan = replace(plan, max_batch_size=1)
        stated = {**_config(plan).parameters, **provenance.parameters()}
        write_config(folder, replace(_config(plan), parameters=stated))
    parity: list[str] = []
    for index, what in enumerate(("the sample", *("noise",) * _NOISE)):
        found = {name: rows[0] for name, rows in serving.served(folder, plan, samples[index : index + 1]).items()}
        compared = _differences(plan, found, {name: rows[index] for name, rows in expected.items()})
        for one in compared:
            if not one.within:
                raise ArtefactRefusedError(f"for {what}, {one} from the original's answer: please report the model")
        worst = ", ".join(f"{one.output} {one.worst:.1e} (allowed {one.allowed:.1e})" for one in compared)
        parity.append(f"difference from the original for {what}: {worst}")
        if index == 0:
            answer = task.answer(found, prepared.context, task.defaults, declared)
    answered = Answered([answer], plan.name, False, None, {})
    return Trial(folder, plan, tuple(parity), task.presentation.predictions(answered)[0])


def show(trial: Trial, sample: Path, drawing: Path) -> list[str]:
    """The answer for the sample in lines; detections are drawn into a file."""
    answer = trial.answer
    if "detections" in answer:
        bgr = np.ascontiguousarray(decode_image(sample.read_bytes(), Limits.pixels).rgb[..., ::-1])
        drawing.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(drawing), draw_detections(bgr, answer["detections"]))
        lines = [
            f"  {one['label']}  {one['confidence']:.4f}  at x, y, width, height {one['bbox']}"
            for one in answer["detections"]
        ]
        return [*(lines or ["  nothing with a confidence of 0.3 or more"]), f"drawn in {drawing}"]
    if "predictions" in answer:
        return [f"  {one['label']}  {one['score']:.4f}" for one in answer["predictions"]]
    return [f"  {key}  {value}" for key, value in answer.items()]


def _config(plan: Plan) -> Config:
    """Of the model, without provenance."""
    parameters: dict[str, str] = {}
    placement: Placement = TWO_INSTANCES
    if plan.task == "anomaly":
        inputs = (Tensor(plan.input, "TYPE_FP32", (plan.length,)),)
        dims: tuple[tuple[int, ...], ...] = ((plan.length,), (1,))
        parameters["threshold"] = f"{plan.threshold:g}"
        placement = ONE_THREAD
    else:
        inputs = (Tensor(plan.input, "TYPE_UINT8", (*plan.size_hw, 1 if plan.task == "digits" else 3)),)
        dims = ((300, 4), (300,), (300,)) if plan.task == "detection" else ((len(plan.labels),),)
    if plan.task in ("detection", "classification"):
        parameters["resize_mode"] = plan.resize_mode
    if plan.task == "classification":
        parameters["interpolation"] = plan.interpolation
        if plan.resize_size:
            parameters["resize_size"] = str(plan.resize_size)
    outputs = tuple(
        Tensor(
            name, "TYPE_INT32" if index == 2 else "TYPE_FP32", size, plan.task != "anomaly" and index == len(dims) - 1
        )
        for index, (name, size) in enumerate(zip(plan.outputs, dims, strict=True))
    )
    return Config(
        plan.name,
        plan.platform,
        inputs,
        outputs,
        parameters,
        plan.max_batch_size,
        placement,
        gpu_instances=1 if plan.task in ("detection", "classification") else 0,
    )


def _prepare(task: Task[Any, Any], sample: Path, declared: Declaration) -> Prepared:
    """The user's sample as the model takes it.

    Raises:
        UnclearModelError: it is not what the task takes.
    """
    try:
        instance: Any = sample.read_bytes()
        if task.kind is InstanceKind.WINDOW:
            instance = np.asarray(json.loads(instance), np.float32)
        return task.prepare(task.decode(instance, [declared], Limits.pixels), declared)
    except (ServingError, ValueError, TypeError) as exc:
        raise UnclearModelError(f"{sample.name} cannot be the sample ({first_line(exc)})", "--sample") from exc


def _noise(row: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Samples of noise, of the shape and type of a row: pixels, or values about as large as the window's."""
    generator = np.random.default_rng(_SEED)
    shape = (_NOISE, *row.shape)
    if row.dtype == np.uint8:
        return generator.integers(0, 256, shape, np.uint8)
    return generator.normal(row.mean(), row.std() or 1.0, shape).astype(row.dtype)


def _require_probabilities(plan: Plan, expected: Arrays) -> None:
    """A classifier's answers are in 0..1; logits show that the softmax is missing."""
    if plan.task in ("classification", "digits"):
        values = expected[plan.outputs[0]]
        if not (values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING):
            raise UnclearModelError(
                f"the output is no probabilities (from {values.min():.3g} to {values.max():.3g})", "--softmax add"
            )


def _golden(plan: Plan, row: npt.NDArray[Any], expected: Arrays) -> Golden:
    if plan.task == "detection":
        return Golden({plan.input: row}, leading(_detections(plan, expected)))
    return Golden({plan.input: row}, {name: Expected(value, _atol(plan, value)) for name, value in expected.items()})


def _atol(plan: Plan, expected: npt.NDArray[Any]) -> float:
    if plan.threshold is not None:
        return float(f"{0.01 * abs(plan.threshold):.2g}")
    return probability_tolerance(expected)


def _differences(plan: Plan, found: Arrays, expected: Arrays) -> list[Difference]:
    if plan.task == "detection":
        return differences(found, _detections(plan, expected))
    return [Difference.between(name, found[name], value, _atol(plan, value)) for name, value in expected.items()]


def _detections(plan: Plan, expected: Arrays) -> Detections:
    return Detections(*(expected[name] for name in plan.outputs))
