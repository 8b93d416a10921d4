"""The requests that well-behaved callers send, and what became of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import SampleRequest, raw_image, sample_request, v1_document, v2_binary
from modelport.samples import PHOTO, read_instance, sample_file
from modelport.services import choose

PICTURE = PHOTO

# What became of a request that got no answer.
REFUSED = "refused"  # nobody listened: nothing was accepted
CUT = "cut"  # the connection ended before there was an answer
UNANSWERED = "unanswered"  # the caller gave up
GRPC = "gRPC"


Request = SampleRequest


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
    """All kinds of requests over REST: one a service, by its name, and detection by protocol and in a batch."""
    kinds = {}
    for spec in choose():
        task, instance = build_task(spec), read_instance(spec, sample_file(spec))
        image = task.kind is InstanceKind.IMAGE
        kinds[spec.name] = raw_image(task, instance) if image else sample_request(task, "own", instance)
    (detector,) = choose("detector")
    task, picture = build_task(detector), PICTURE.read_bytes()
    many = json.dumps(v1_document(task, *[picture] * 24)).encode()
    v1 = sample_request(task, "v1", picture)
    kinds |= {"detector V1": v1, "detector V2": v2_binary(task, picture), "detector many": replace(v1, body=many)}
    return kinds


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
