"""How a cluster runs the declared services: the part of services.yaml that manifests are written from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelport.services import FILE, DeclarationError, entries, load

DEFAULT_RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}

_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|Ki|[MGTPE]i?)?")


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
    found = {
        name: Deployment(entry.get("resources", DEFAULT_RESOURCES), entry.get("fallback"))
        for name, entry in entries(path).items()
    }
    for name, deployment in found.items():
        for stated in (deployment.resources, *([] if deployment.fallback is None else [deployment.fallback])):
            if not _is_well_formed(stated):
                raise DeclarationError(
                    f"{path.name}: service {name}: {stated!r} are no resources of a container: write "
                    "{requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}"
                )
        if deployment.fallback and len(services[name].models) < 2:
            raise DeclarationError(f"{path.name}: {name} has a fallback, but no second model that could run there")
    return found


def _is_well_formed(resources: Any) -> bool:
    """Whether it is what a container's `resources` may be."""
    return (
        isinstance(resources, dict)
        and set(resources) <= {"requests", "limits"}
        and all(isinstance(named, dict) for named in resources.values())
        and all(_QUANTITY.fullmatch(str(one)) for named in resources.values() for one in named.values())
    )
