"""The requests that well-behaved callers send."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import (
    SampleRequest,
    raw_image,
    sample_request,
    v1_document,
    v2_binary,
    v2_tensor,
)
from modelport.measure.generator.load import Load, RunningLoad
from modelport.measure.generator.requests import INFER_METHOD, Request
from modelport.samples import PHOTO, read_instance, sample_file
from modelport.services import choose

GRPC = "gRPC"
LIGHT = ("detector V1", "classifier", "detector V2", f"classifier {GRPC}", f"detector {GRPC}")


def requests() -> dict[str, Request]:
    """The requests over REST: one a service, by its name, and detection by protocol and in a batch."""
    kinds = {}
    for spec in choose():
        task, instance = build_task(spec), read_instance(spec, sample_file(spec))
        image = task.kind is InstanceKind.IMAGE
        kinds[spec.name] = posted(raw_image(task, instance) if image else sample_request(task, "own", instance))
    (detector,) = choose("detector")
    task, photo = build_task(detector), PHOTO.read_bytes()
    v1, v2 = posted(sample_request(task, "v1", photo)), posted(v2_binary(task, photo))
    many = replace(v1, body=json.dumps(v1_document(task, *[photo] * 24)).encode())
    return kinds | {"detector V1": v1, "detector V2": v2, "detector many": many}


def posted(sample: SampleRequest) -> Request:
    """A sample request as a load has it."""
    return Request(sample.path, sample.body, sample.headers)


def infer_request(service: str, timeout_ms: int | None = None, instance: Any = None) -> Request:
    """A ModelInfer over gRPC.

    Args:
        service: that infers.
        timeout_ms: the timeout that it sets.
        instance: an image's bytes, or a window's numbers; default: the sample image.
    """
    from tritonclient.grpc import service_pb2  # not at import: KServe's generated code defines the same names

    (spec,) = choose(service)
    tensor, data = v2_tensor(build_task(spec), PHOTO.read_bytes() if instance is None else instance)
    message = service_pb2.ModelInferRequest(model_name=service)
    message.inputs.add(**tensor)
    message.raw_input_contents.append(data)
    metadata = {"x-request-timeout-ms": str(timeout_ms)} if timeout_ms else {}
    return Request(INFER_METHOD, message.SerializeToString(), metadata)


def begin(
    url: str, kinds: Sequence[str] = LIGHT, rate: float = 6.0, callers: int = 0, timeout_ms: int = 10_000
) -> RunningLoad:
    """Begin a load, each request on a connection of its own.

    Args:
        url: of the transformer server.
        kinds: keys of `requests`, or a service and GRPC; sent in turn.
        rate: requests per second.
        callers: where given, this many wait for their answers instead.
        timeout_ms: the timeout that each request sets.
    """
    over_rest, chosen = requests(), []
    for kind in kinds:
        service, _, protocol = kind.partition(" ")
        if protocol == GRPC:
            chosen.append(infer_request(service, timeout_ms))
        else:
            headers = {**over_rest[kind].headers, "x-request-timeout-ms": str(timeout_ms)}
            chosen.append(replace(over_rest[kind], headers=headers))
    return RunningLoad(url, Load(tuple(chosen), rate=0.0 if callers else rate, callers=callers))
