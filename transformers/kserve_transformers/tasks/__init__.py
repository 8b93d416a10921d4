"""The tasks, one class a file, and the table by which a service's declaration names them."""

from collections.abc import Mapping
from typing import Any

from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks.anomaly import AnomalyTask
from kserve_transformers.tasks.classification import ClassificationTask
from kserve_transformers.tasks.detection import DetectionTask
from kserve_transformers.tasks.digits import DigitsTask
from kserve_transformers.tasks.parameters import Number
from kserve_transformers.tasks.task import Task

TASKS: Mapping[str, type[Task[Any, Any]]] = {
    "detection": DetectionTask,
    "classification": ClassificationTask,
    "digits": DigitsTask,
    "anomaly": AnomalyTask,
}


def check_spec(spec: ServiceSpec) -> None:
    """Check that a declared service has a task and a presentation that exist.

    Raises:
        ValueError: it has not; the message names those that do.
    """
    if spec.task not in TASKS:
        raise ValueError(f"service {spec.name}: no task {spec.task!r}: there are {', '.join(TASKS)}")
    presentations = TASKS[spec.task].presentations
    if spec.presentation not in presentations:
        named = ", ".join(f"{spec.task}/{name}" for name in presentations if name) or "none"
        raise ValueError(
            f"service {spec.name}: {spec.task} has no presentation {spec.presentation!r}: there are {named}"
        )


def build_task(spec: ServiceSpec, defaults: Mapping[str, Any] | None = None) -> Task[Any, Any]:
    """The task of a declared service.

    Args:
        spec: the declaration.
        defaults: of options that a request does not name; those that the task does not have are ignored.

    Raises:
        ValueError: the task or its presentation does not exist.
    """
    check_spec(spec)
    return TASKS[spec.task](spec.name, spec.presentation, defaults)


def number_options() -> dict[str, Number]:
    """Every numeric option of any task: a server can be given its own default."""
    return {
        name: parameter
        for task in TASKS.values()
        for name, parameter in task.parameters.items()
        if isinstance(parameter, Number)
    }
