"""Readiness of the server: it follows from golden checks, never from what a process reports about itself."""

from functools import partial
from typing import cast

from kserve_transformers.metrics import SERVICE_READY
from kserve_transformers.protocol.answers import ModelState, Readiness, ServiceState
from kserve_transformers.service import Service, Services

_WEIGHTS = ("weights", "accuracy", "weights_licence", "weights_source", "warning")


class Health:
    """Whether the services of this server can be trusted at present.

    Args:
        services: by name.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.draining = False
        for name, service in services.items():
            SERVICE_READY.labels(name).set_function(partial(_ready, service))

    @property
    def ready(self) -> bool:
        """Whether every service can answer and the server is not about to stop."""
        return not self.draining and all(service.unready_reason is None for service in self._services.values())

    def report(self) -> Readiness:
        """Readiness by service and model, with reasons."""
        services: dict[str, ServiceState] = {}
        for name, service in self._services.items():
            reason = service.unready_reason
            state = {"ready": reason is None, **({"reason": reason} if reason else {}), "models": self.models(service)}
            services[name] = cast(ServiceState, state)
        return {"ready": self.ready, "services": services}

    def models(self, service: Service) -> dict[str, ModelState]:
        """The models of a service: ready or why not, version, and what their weights are."""
        models: dict[str, ModelState] = {}
        for model in service.chain.models:
            reason = service.chain.reason_against(model)
            entry: ModelState = {"ready": reason is None, "condition": model.condition}
            if reason:
                entry["reason"] = reason
            if model.release:
                entry["release"] = model.release
            if model.precision:
                entry |= cast(ModelState, {"precision": model.precision})
            if model.draining:
                entry["draining"] = [release or "initial" for release in model.draining]
            if model.refused:
                release, reason = model.refused
                entry["refused"] = {"release": release or "initial", "reason": reason}
            declared = model.known_declaration
            if declared is not None:
                entry["version"] = declared.version
                if declared.labels:
                    entry["labels"] = len(declared.labels)
                told = {key: declared.parameters[key] for key in _WEIGHTS if declared.parameters.get(key)}
                entry |= cast(ModelState, told)
            models[model.name] = entry
        return models


def _ready(service: Service) -> float:
    return float(service.unready_reason is None)
