"""Every error a caller can meet, with its HTTP status and the name of its gRPC code.

ServingError                      base, never raised itself
├── BadRequestError           400 the request is malformed: it says which part
├── UnauthenticatedError      401 no API key, or one that is not known
├── NotFoundError             404 no such service, model or version
├── LateBodyError             408 the request's body did not come in time
├── TooLargeError             413 a limit on bytes, pixels or instances is exceeded
├── UnsupportedMediaError     415 not an image, or not a kind of body, that we read
│   └── UnsupportedCodingError  the body has a content coding that we do not read
├── UnprocessableError        422 the instance is well-formed, but does not show what the service reads
├── BusyError                 429 the model cannot answer in time; `retry_after_s` says when to come back
├── BadAnswerError            502 the model answered, but not what it declares
├── NotReadyError             503 the model, or everything in the service's chain, is not ready
└── TooLateError              504 the request's deadline passed
"""

from typing import ClassVar


class ServingError(Exception):
    """Base of all errors that reach a caller: the message is written for the caller."""

    status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"
    retry_after_s: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Extra HTTP headers of the answer."""
        return {} if self.retry_after_s is None else {"Retry-After": str(max(1, round(self.retry_after_s)))}


class BadRequestError(ServingError):
    """The request is malformed."""

    status = 400
    grpc_code = "INVALID_ARGUMENT"


class UnauthenticatedError(ServingError):
    """The server requires an API key, and the request has none that is known."""

    status = 401
    grpc_code = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("an API key is required: send it as Authorization: Bearer KEY")

    @property
    def headers(self) -> dict[str, str]:
        """What RFC 9110, 11.6.1, demands; browsers ask for a password."""
        return {"WWW-Authenticate": 'Bearer realm="modelport", Basic realm="modelport"'}


class NotFoundError(ServingError):
    """No such service, model or version."""

    status = 404
    grpc_code = "NOT_FOUND"


class LateBodyError(ServingError):
    """The request's body did not come in time."""

    status = 408
    grpc_code = "DEADLINE_EXCEEDED"


class TooLargeError(ServingError):
    """A limit on bytes, pixels or instances is exceeded.

    Args:
        message: for the caller.
        pixels: of the image that was refused, where that was its fault.
    """

    status = 413
    grpc_code = "INVALID_ARGUMENT"

    def __init__(self, message: str, pixels: int = 0) -> None:
        super().__init__(message)
        self.pixels = pixels


class UnsupportedMediaError(ServingError):
    """Not an image, or not a kind of body, that we read."""

    status = 415
    grpc_code = "INVALID_ARGUMENT"


class UnsupportedCodingError(UnsupportedMediaError):
    """The body has a content coding that we do not read."""

    @property
    def headers(self) -> dict[str, str]:
        """The codings that are read: RFC 9110, section 15.5.16."""
        return {"Accept-Encoding": "gzip, deflate"}


class UnprocessableError(ServingError):
    """The instance is well-formed, but does not show what the service reads, such as an image without ink."""

    status = 422
    grpc_code = "INVALID_ARGUMENT"


class BusyError(ServingError):
    """More waits for the model than it can answer in time: nothing was done, come back later."""

    status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    retry_after_s = 1.0


class BadAnswerError(ServingError):
    """The model answered an error or something it does not declare."""

    status = 502
    grpc_code = "UNAVAILABLE"


class NotReadyError(ServingError):
    """Nothing that could answer is ready."""

    status = 503
    grpc_code = "UNAVAILABLE"
    retry_after_s = 1.0


class TooLateError(ServingError):
    """The request's deadline passed."""

    status = 504
    grpc_code = "DEADLINE_EXCEEDED"
