"""Checks that configurations are well-formed and configure nothing but serving the artefact."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporters.config import read_config as parsed_config
from exporters.config import short_path
from exporters.errors import ConfigInvalidError
from modelport.releases.errors import GateError

# The fields that our exporters write. Others load libraries, read other files or call other models.
FIELDS = frozenset(
    ("name", "platform", "max_batch_size", "input", "output", "instance_group", "dynamic_batching", "parameters")
)
# Triton's Python backend runs the interpreter that this parameter names.
FORBIDDEN_PARAMETERS = frozenset(("EXECUTION_ENV_PATH",))


def read_config(path: Path) -> Any:
    """Parse a config as Triton does: a ModelConfig.

    Raises:
        GateError: it is missing, or not a ModelConfig in protobuf's text format.
    """
    try:
        return parsed_config(path)
    except ConfigInvalidError as exc:
        raise GateError(str(exc)) from exc


def read_configs(model_dir: Path) -> Iterator[tuple[Path, Any]]:
    """Every configuration of a model that Triton can be configured to use, with its path: config.pbtxt first."""
    for path in (model_dir / "config.pbtxt", *sorted(model_dir.glob("configs/*.pbtxt"))):
        yield path, read_config(path)


def check_configs(folder: Path) -> None:
    """Refuse configurations that are malformed, name another model, or do more than serve an artefact.

    Raises:
        GateError: names the configuration and the field.
    """
    for model_dir in sorted(folder.iterdir()):
        for path, config in read_configs(model_dir):
            name = short_path(path)
            if config.name != model_dir.name:
                raise GateError(
                    f"{name} is of model {config.name!r}: Triton requires the folder's name, {model_dir.name!r}"
                )
            for field, _ in config.ListFields():
                if field.name not in FIELDS:
                    raise GateError(f"{name} sets {field.name}, which can run programs or read other files: remove it")
            for key in sorted(FORBIDDEN_PARAMETERS & set(config.parameters)):
                raise GateError(f"{name} sets the parameter {key}, which runs another program: remove it")
            if config.max_batch_size < 1 or len(config.input) != 1 or not config.output:
                raise GateError(
                    f"{name} must have one input, an output and a batch size: transformers support nothing else"
                )
