"""The declared services: services.yaml, read and checked."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from kserve_transformers.service_spec import ServiceSpec
from modelport.environment import ROOT, SetupError

FILE = ROOT / "services.yaml"


class DeclarationError(SetupError):
    """services.yaml is malformed, or does not declare a service that is named; the message says what to write."""


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


def choose(
    *names: str, chains: Mapping[str, tuple[str, ...]] | None = None, path: Path = FILE
) -> tuple[ServiceSpec, ...]:
    """Some of the declared services.

    Args:
        names: which; all of them where none is named.
        chains: models of some services, instead of those that are declared.
        path: of the declaration.

    Raises:
        DeclarationError: a name is not declared.
    """
    declared = load(path)
    unknown = [name for name in (*names, *(chains or {})) if name not in declared]
    if unknown:
        raise DeclarationError(f"no service {unknown[0]!r}: choose one of {', '.join(declared)}")
    chosen = [declared[name] for name in dict.fromkeys(names)] or declared.values()
    return tuple(replace(spec, models=(chains or {}).get(spec.name, spec.models)) for spec in chosen)


def models_of(services: Iterable[ServiceSpec]) -> tuple[str, ...]:
    """The models of all chains, each once."""
    return tuple(dict.fromkeys(model for spec in services for model in spec.models))


def _service(name: str, entry: Mapping[str, Any]) -> ServiceSpec:
    unknown = sorted(set(entry) - {"task", "models", "presentation", "resources", "fallback"})
    if unknown:
        raise ValueError(f"{name} has an unknown field {unknown[0]!r}")
    spec = ServiceSpec(name, entry["task"], tuple(entry["models"]), entry.get("presentation"))
    return ServiceSpec.parse(spec.argument())  # checks every name
