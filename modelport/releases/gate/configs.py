"""Checks that configurations are well-formed and configure nothing but serving the artefact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

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
        GateError: it is not there, or no ModelConfig in protobuf's text format.
    """
    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except FileNotFoundError as exc:
        raise GateError(f"{_short(path)} is missing: export the model again") from exc
    except (text_format.ParseError, UnicodeDecodeError) as exc:
        reason = str(exc).splitlines()[0]
        raise GateError(f"{_short(path)} is no ModelConfig ({reason}): correct it or export the model again") from exc


def read_configs(model_dir: Path) -> Iterator[tuple[Path, Any]]:
    """Every configuration of a model that Triton can be told to use, with its path: config.pbtxt first."""
    for path in (model_dir / "config.pbtxt", *sorted(model_dir.glob("configs/*.pbtxt"))):
        yield path, read_config(path)


def dtype(tensor: Any) -> np.dtype[Any]:
    """The array type of a ModelInput or ModelOutput."""
    name = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    found = triton_to_np_dtype({"STRING": "BYTES"}.get(name, name))
    return np.dtype(found if found is not None else np.void)


def check_configs(folder: Path) -> None:
    """Refuse configurations that are malformed, name another model, or do more than serve an artefact.

    Raises:
        GateError: names the configuration and the field.
    """
    for model_dir in sorted(folder.iterdir()):
        for path, config in read_configs(model_dir):
            name = _short(path)
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


def _short(path: Path) -> str:
    """A config's path from the model's folder on."""
    from_root = 3 if path.parent.name == "configs" else 2
    return "/".join(path.parts[-from_root:])
