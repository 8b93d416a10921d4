"""Errors as callers see them: {"error": "..."} with the error's own status and headers."""

from fastapi.responses import JSONResponse

from kserve_transformers.errors import ServingError, TooLargeError

# What callers sent may be quoted in an error; gRPC drops the whole answer where its message is too long.
_MAX_MESSAGE = 300
INTERNAL = "internal error: it is in the server's log"


def message(error: ServingError) -> str:
    """The text that the caller gets."""
    text = str(error)
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}..."


def answer(error: ServingError) -> JSONResponse:
    """An error as an HTTP response."""
    # the rest of a body that was too large is not read: the connection cannot be used again
    close = {"Connection": "close"} if isinstance(error, TooLargeError) else {}
    return JSONResponse({"error": message(error)}, error.status, {**error.headers, **close})
