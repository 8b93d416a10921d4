"""Follows what a supervisor says about the chains of services while the server runs: see `assignment`."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from kserve_transformers.assignment import assigned_chain
from kserve_transformers.predictor import TritonModel
from kserve_transformers.service import Service, Services

logger = logging.getLogger(__name__)

INTERVAL_S = 0.5


class ChainFollower:
    """Lets models join and leave the chains of services; a new one answers once it has passed its golden check.

    Args:
        services: by name.
        repository: with the file that names the chains; None where there is none, as in a pod.
        make: makes a model that no chain has yet, from its name and those of the services that it answers for.
    """

    def __init__(
        self, services: Services, repository: Path | None, make: Callable[[str, Sequence[str]], TritonModel]
    ) -> None:
        self._services = services
        self._repository = repository
        self._make = make
        self._models = {model.name: model for service in services.values() for model in service.chain.models}
        self._watching = {name: asyncio.create_task(model.watch()) for name, model in self._models.items()}

    async def follow(self) -> None:
        """Watch all models and follow the chains, until cancelled."""
        try:
            if self._repository is None:
                await asyncio.Event().wait()
            while True:
                for service in self._services.values():
                    self._follow(service)
                await asyncio.sleep(INTERVAL_S)
        finally:
            for task in self._watching.values():
                task.cancel()
            await asyncio.gather(*self._watching.values(), return_exceptions=True)

    def _follow(self, service: Service) -> None:
        try:
            names = assigned_chain(self._repository, service.name) or service.spec.models
        except (OSError, ValueError) as exc:
            logger.warning("service %s keeps its chain: %s", service.name, exc)
            return
        present = service.chain.models
        if names == tuple(model.name for model in present):
            return
        models = [self._watched(name, service) for name in names]
        if all(model in present or service.chain.reason_against(model) is None for model in models):
            service.chain.models = tuple(models)
            self._forget([model.name for model in present if model not in models])
            logger.info("service %s: %s answer now", service.name, ", ".join(names))

    def _watched(self, name: str, service: Service) -> TritonModel:
        if name not in self._models:
            self._models[name] = self._make(name, (service.spec.name,))
            self._watching[name] = asyncio.create_task(self._models[name].watch())
        return self._models[name]

    def _forget(self, names: Sequence[str]) -> None:
        used = {model.name for service in self._services.values() for model in service.chain.models}
        for name in names:
            if name not in used:
                self._watching.pop(name).cancel()
                del self._models[name]
