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

    def __init_subclass__(cls, **carried: object) -> None:
        """What each class carries stands in its head: status, grpc_code, retry_after_s."""
        for name, value in carried.items():
            setattr(cls, name, value)

    @property
    def headers(self) -> dict[str, str]:
        """Extra HTTP headers of the answer."""
        return {} if self.retry_after_s is None else {"Retry-After": str(max(1, round(self.retry_after_s)))}


class BadRequestError(ServingError, status=400, grpc_code="INVALID_ARGUMENT"):
    """The request is malformed."""


class UnauthenticatedError(ServingError, status=401, grpc_code="UNAUTHENTICATED"):
    """The server requires an API key, and the request has none that is known."""

    def __init__(self) -> None:
        super().__init__("an API key is required: send it as Authorization: Bearer KEY")

    @property
    def headers(self) -> dict[str, str]:
        """What RFC 9110, 11.6.1, demands; browsers ask for a password."""
        return {"WWW-Authenticate": 'Bearer realm="modelport", Basic realm="modelport"'}


class NotFoundError(ServingError, status=404, grpc_code="NOT_FOUND"):
    """No such service, model or version."""


class LateBodyError(ServingError, status=408, grpc_code="DEADLINE_EXCEEDED"):
    """The request's body did not come in time."""


class TooLargeError(ServingError, status=413, grpc_code="INVALID_ARGUMENT"):
    """A limit on bytes, pixels or instances is exceeded."""

    def __init__(self, message: str, pixels: int = 0) -> None:
        super().__init__(message)
        self.pixels = pixels  # of the image that was refused, where that was its fault


class UnsupportedMediaError(ServingError, status=415, grpc_code="INVALID_ARGUMENT"):
    """Not an image, or not a kind of body, that we read."""


class UnsupportedCodingError(UnsupportedMediaError):
    """The body has a content coding that we do not read."""

    @property
    def headers(self) -> dict[str, str]:
        """The codings that are read: RFC 9110, section 15.5.16."""
        return {"Accept-Encoding": "gzip, deflate"}


class UnprocessableError(ServingError, status=422, grpc_code="INVALID_ARGUMENT"):
    """The instance is well-formed, but does not show what the service reads, such as an image without ink."""


class BusyError(ServingError, status=429, grpc_code="RESOURCE_EXHAUSTED", retry_after_s=1.0):
    """More waits for the model than it can answer in time: nothing was done, come back later."""


class BadAnswerError(ServingError, status=502, grpc_code="UNAVAILABLE"):
    """The model answered an error or something it does not declare."""


class NotReadyError(ServingError, status=503, grpc_code="UNAVAILABLE", retry_after_s=1.0):
    """Nothing that could answer is ready."""


class TooLateError(ServingError, status=504, grpc_code="DEADLINE_EXCEEDED"):
    """The request's deadline passed."""
