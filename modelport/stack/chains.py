"""Chains are checked against their tasks by what config.pbtxt declares, before anything is started."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from exporters.config import FILENAME, datatype, read_config
from exporters.errors import ConfigInvalidError, ExportError
from exporters.repository import models
from kserve_transformers.predictor.declaration import Declaration, TensorSpec
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import build_task
from modelport.services import DeclarationError


def check_chains(services: Iterable[ServiceSpec], repository: Path) -> None:
    """Check the models of all chains against the tasks, by what their config.pbtxt declares.

    Raises:
        DeclarationError: a model is not in the repository, or cannot serve the task; the message says why.
    """
    for spec in services:
        task = build_task(spec)
        for model in spec.models:
            file = repository / model / FILENAME
            if not file.is_file():
                there = ", ".join(models(repository)) or "none"
                raise DeclarationError(f"{spec.name}: no model {model!r} in {repository}: there are {there}")
            try:
                misfit = task.misfit(declaration(read_config(file)))
            except ExportError as error:
                raise DeclarationError(f"{spec.name}: {error}") from error
            if misfit:
                raise DeclarationError(f"{spec.name}: {model} does not fit {spec.task}: {misfit}")


def declaration(config: Any, labels: Sequence[str] = ()) -> Declaration:
    """What Triton will say of a model that is not loaded yet.

    Args:
        config: its ModelConfig message.
        labels: that it will read from the model's label file.

    Raises:
        ConfigInvalidError: the model does not have exactly one input.
    """
    inputs, outputs = (
        {one.name: TensorSpec(one.name, datatype(one), tuple(one.dims)) for one in tensors}
        for tensors in (config.input, config.output)
    )
    if len(inputs) != 1:
        raise ConfigInvalidError(f"{config.name} has {len(inputs)} inputs: a model must have exactly one")
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    return Declaration(config.name, "", inputs, outputs, config.max_batch_size, parameters, tuple(labels))
