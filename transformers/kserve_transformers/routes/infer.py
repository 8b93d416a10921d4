"""What every inference route calls: the function that infers, and the one that adds the query's options."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from fastapi import Request

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.requests import ServiceRequest
from kserve_transformers.service import Service
from kserve_transformers.tasks.parameters import options_of_texts
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


def with_query(service: Service, request: Request, parsed: ServiceRequest) -> ServiceRequest:
    """A parsed request with the options of the query, too.

    Raises:
        BadRequestError: one is not known, came twice, or is in the body as well.
    """
    if not request.url.query:
        return parsed
    options = options_of_texts(service.name, service.task.parameters, request.query_params.multi_items())
    twice = [name for name in options if parsed.parameters.get(name) is not None]
    if twice:
        raise BadRequestError(f"{twice[0]} is given twice: in the query and in the body")
    return replace(parsed, parameters={**parsed.parameters, **options})
