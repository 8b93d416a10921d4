"""How a cluster runs the declared services: the part of services.yaml that manifests are written from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelport.services import FILE, DeclarationError, load

DEFAULT_RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


@dataclass(frozen=True)
class Deployment:
    """What a cluster gives a service."""

    resources: Mapping[str, Any]  # requests and limits of the container that runs the models, in Kubernetes' notation
    # the same for pods that run the chain without its first model, to which a gateway turns when those of the first
    # model fail; None where the service has no such pods
    fallback: Mapping[str, Any] | None


def load_deployments(path: Path = FILE) -> Mapping[str, Deployment]:
    """Read how a cluster runs the declared services, in the order of the declaration.

    Raises:
        DeclarationError: the declaration is malformed, or a service with a fallback has no second model.
    """
    services = load(path)
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
    found = {
        name: Deployment(entry.get("resources", DEFAULT_RESOURCES), entry.get("fallback"))
        for name, entry in entries.items()
    }
    for name, deployment in found.items():
        if deployment.fallback and len(services[name].models) < 2:
            raise DeclarationError(f"{path.name}: {name} has a fallback, but no second model that could run there")
    return found
