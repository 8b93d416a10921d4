"""Options in a request's query, which every inference route takes beside those in its body."""

from dataclasses import replace

from fastapi import Request

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.requests import ServiceRequest
from kserve_transformers.service import Service
from kserve_transformers.tasks.parameters import options_of_texts


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
