"""The declared services: services.yaml, read once and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from kserve_transformers.service_spec import ServiceSpec
from modelport.environment import ROOT, SetupError

FILE = ROOT / "services.yaml"
_RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
_FIELDS = {"task", "models", "presentation", "resources", "fallback"}
_Read = TypeVar("_Read")


class DeclarationError(SetupError):
    """services.yaml does not declare services; the message says which entry is wrong, and how it is written."""


@dataclass(frozen=True)
class Deployment:
    """How a cluster runs a service.

    Attributes:
        resources: requests and limits of the container that runs the models, in Kubernetes' notation.
        fallback: the same for pods that run the chain without its first model, to which a gateway turns when those of
            the first model fail; None where the service has no such pods.
    """

    resources: Mapping[str, Any]
    fallback: Mapping[str, Any] | None


def load(path: Path = FILE) -> Mapping[str, ServiceSpec]:
    """Read a declaration of services, in the order in which they stand there.

    Raises:
        DeclarationError: the file is missing, no YAML, or an entry is malformed.
    """
    return _load(path, _service)


def load_deployments(path: Path = FILE) -> Mapping[str, Deployment]:
    """Read how a cluster runs the declared services, in the same order.

    Raises:
        DeclarationError: see load.
    """
    return _load(path, _deployment)


def _load(path: Path, read: Callable[[str, Mapping[str, Any]], _Read]) -> Mapping[str, _Read]:
    try:
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
        return {name: read(name, entry) for name, entry in declared.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as exc:
        raise DeclarationError(
            f"{path.name} cannot be read ({exc}): it declares services as name: {{task, models}}"
        ) from exc


def _service(name: str, entry: Mapping[str, Any]) -> ServiceSpec:
    unknown = sorted(set(entry) - _FIELDS)
    if unknown:
        raise ValueError(f"{name} has an unknown field {unknown[0]!r}")
    spec = ServiceSpec(name, entry["task"], tuple(entry["models"]), entry.get("presentation"))
    return ServiceSpec.parse(spec.argument())  # checks every name


def _deployment(name: str, entry: Mapping[str, Any]) -> Deployment:
    fallback = entry.get("fallback")
    if fallback is not None and len(entry["models"]) < 2:
        raise ValueError(f"{name} has a fallback, but no second model that could run there")
    return Deployment(entry.get("resources", _RESOURCES), fallback)
