"""One handler turns every error into {"error": "..."}; an unforeseen one is logged, and callers learn no detail of it.

KServe's SDK registers handlers of its own, which answer an unknown error with 500 and the exception's text.
"""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from kserve.errors import ModelNotFound, ModelNotReady
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kserve_transformers.errors import BadRequestError, NotFoundError, NotReadyError, ServingError
from kserve_transformers.routes.errors import INTERNAL, answer

logger = logging.getLogger(__name__)

_HTTP_ERRORS = {404: "no such route: GET / lists them", 405: "this route takes another method"}


def translate(exc: Exception) -> ServingError | None:
    """An error of KServe's or FastAPI's in our terms; None where it is a fault of ours."""
    if isinstance(exc, ServingError):
        return exc
    if isinstance(exc, ModelNotFound):
        return NotFoundError("no such service here")
    if isinstance(exc, ModelNotReady):
        return NotReadyError("the service is not ready: try again shortly")
    if isinstance(exc, ClientDisconnect):
        return BadRequestError("the caller left before the body was complete")
    if isinstance(exc, RequestValidationError):
        return BadRequestError("the request's path, query or headers are malformed")
    return None


def add_error_handlers(app: FastAPI) -> None:
    """Register the handler for everything that can be raised."""

    async def on_error(request: Request, exc: Exception) -> Response:
        known = translate(exc)
        if known is None:
            logger.error("fault while answering %s", request.url.path, exc_info=exc)
            return JSONResponse({"error": INTERNAL}, 500)
        return answer(known)

    async def on_http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)  # noqa: S101  (registered for nothing else)
        text = _HTTP_ERRORS.get(exc.status_code, str(exc.detail))
        return JSONResponse({"error": text}, exc.status_code, dict(exc.headers or {}))

    for error in (ServingError, ModelNotFound, ModelNotReady, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(error, on_error)
    app.add_exception_handler(HTTPException, on_http_error)
