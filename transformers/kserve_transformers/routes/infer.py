"""The function that every inference route calls."""

from collections.abc import Mapping
from typing import Any, Protocol

from kserve_transformers.protocol.requests import ServiceRequest
from kserve_transformers.service import Service
from kserve_transformers.tasks.task import Answered


class Infer(Protocol):
    """Carries a parsed request out."""

    async def __call__(
        self, service: Service, request: ServiceRequest, headers: Mapping[str, str], /
    ) -> tuple[Answered[Any], dict[str, str]]:
        """Infer.

        Returns:
            The answers, and headers for the response.

        Raises:
            ServingError: the request was not carried out.
        """
