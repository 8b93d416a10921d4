"""The declared services: services.yaml, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kserve_transformers.service_spec import ServiceSpec
from modelport.environment import ROOT, SetupError

FILE = ROOT / "services.yaml"


class DeclarationError(SetupError):
    """services.yaml does not declare services; the message says which entry is wrong, and how it is written."""


def load(path: Path = FILE) -> Mapping[str, ServiceSpec]:
    """Read a declaration of services, in the order in which they stand there.

    Raises:
        DeclarationError: the file is missing, no YAML, or an entry is malformed.
    """
    try:
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
        return {name: _service(name, entry) for name, entry in declared.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as exc:
        raise DeclarationError(
            f"{path.name} cannot be read ({exc}): it declares services as name: {{task, models}}"
        ) from exc


def _service(name: str, entry: Mapping[str, Any]) -> ServiceSpec:
    unknown = sorted(set(entry) - {"task", "models", "presentation", "resources", "fallback"})
    if unknown:
        raise ValueError(f"{name} has an unknown field {unknown[0]!r}")
    spec = ServiceSpec(name, entry["task"], tuple(entry["models"]), entry.get("presentation"))
    return ServiceSpec.parse(spec.argument())  # checks every name
