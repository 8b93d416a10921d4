"""Requests of a load, and their outcomes."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

INFER_METHOD = "/inference.GRPCInferenceService/ModelInfer"
# Outcomes of requests without an answer.
REFUSED = "refused"  # no connection was accepted
CUT = "cut"  # the connection ended before the answer
UNANSWERED = "unanswered"  # the caller's timeout passed


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent.

    Over gRPC the path is INFER_METHOD, the body a serialised ModelInferRequest, and the headers are metadata.
    """

    path: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def over_grpc(self) -> bool:
        """Whether it is sent over gRPC, to the port after that of REST."""
        return self.path == INFER_METHOD

    def wire(self, host: str) -> bytes:
        """The bytes of the HTTP/1.1 request."""
        head = {"host": host, "content-length": str(len(self.body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + self.body


@dataclass(frozen=True)
class Record:
    """One request and what became of it."""

    at: float  # when it was sent, in seconds of `time.monotonic`, a clock that all processes share
    # the HTTP status, for gRPC the status of the same meaning or else the code's name; or REFUSED, CUT, UNANSWERED
    outcome: str
    seconds: float  # from sending to the outcome
    retry_after: bool = True  # whether a 429 or 503 carried Retry-After; true for every other outcome
    server_timing: str = ""  # the header of that name


def counts(records: Collection[Record]) -> Counter[str]:
    """How often each outcome occurred."""
    return Counter(record.outcome for record in records)
