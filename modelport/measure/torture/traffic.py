"""The requests that well-behaved callers send, and what became of them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from modelport.environment import ROOT

PICTURE = ROOT / "tests" / "data" / "pictures" / "coffee.jpg"

WINDOW = ROOT / "model_repository" / "anomaly" / "golden" / "windows.json"

# What became of a request that got no answer.
REFUSED = "refused"  # nobody listened: nothing was accepted
CUT = "cut"  # the connection ended before there was an answer
UNANSWERED = "unanswered"  # the caller gave up
GRPC = "gRPC"


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """One request and what became of it.

    Attributes:
        at: when it was sent, on the clock of `time.monotonic`, which all processes share.
        kind: key of `requests`, or a service and GRPC.
        outcome: its HTTP status, or REFUSED, CUT or UNANSWERED.
        seconds: until then.
        polite: whether a 429 or 503 said when to come back; true for all others.
    """

    at: float
    kind: str
    outcome: str
    seconds: float
    polite: bool


def requests() -> dict[str, Request]:
    """All kinds of requests over REST."""
    picture = PICTURE.read_bytes()
    encoded = base64.b64encode(picture).decode()
    window = json.dumps({"data": [json.loads(WINDOW.read_text())]}).encode()
    json_type = {"content-type": "application/json"}
    v1 = json.dumps({"instances": [{"image": {"b64": encoded}}]}).encode()
    many = json.dumps({"instances": [{"b64": encoded}] * 24}).encode()
    binary = len(picture).to_bytes(4, "little") + picture
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(binary)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    v2_type = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return {
        "detector V1": Request("/v1/models/detector:predict", v1, json_type),
        "detector V2": Request("/v2/models/detector/infer", head + binary, v2_type),
        "classifier": Request("/classifier/classify", picture, {"content-type": "image/jpeg"}),
        "detector many": Request("/v1/models/detector:predict", many, json_type),
        "cars": Request("/v1/models/cars:predict", picture, {"content-type": "image/jpeg"}),
        "digits": Request("/v1/models/digits:predict", picture, {"content-type": "image/jpeg"}),
        "anomaly": Request("/anomaly/predict", window, json_type),
    }


LIGHT = ("detector V1", "classifier", "detector V2", f"classifier {GRPC}", f"detector {GRPC}")


def counts(records: Collection[Record]) -> Counter[str]:
    """How often each outcome was seen."""
    return Counter(record.outcome for record in records)


def lost(records: Collection[Record], server_killed: bool) -> int:
    """Requests that the server took and never answered; a killed server's connections are not held against it."""
    seen = counts(records)
    return seen[UNANSWERED] + (0 if server_killed else seen[CUT])


def p99_s(records: Sequence[Record]) -> float:
    """Of the requests that got their answer."""
    seconds = sorted(record.seconds for record in records if record.outcome == "200")
    return seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))] if seconds else float("inf")
