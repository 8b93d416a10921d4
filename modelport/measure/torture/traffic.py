"""The requests that well-behaved callers send."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace

from modelport.environment import ROOT
from modelport.measure.generator.load import Load, RunningLoad
from modelport.measure.generator.requests import INFER_METHOD, Request

IMAGE = ROOT / "tests" / "data" / "pictures" / "coffee.jpg"
WINDOW = ROOT / "model_repository" / "anomaly" / "golden" / "windows.json"
GRPC = "gRPC"
LIGHT = ("detector V1", "classifier", "detector V2", f"classifier {GRPC}", f"detector {GRPC}")


def requests() -> dict[str, Request]:
    """The requests over REST, by kind."""
    image = IMAGE.read_bytes()
    encoded = base64.b64encode(image).decode()
    window = json.dumps({"data": [json.loads(WINDOW.read_text())]}).encode()
    json_type = {"content-type": "application/json"}
    v1 = json.dumps({"instances": [{"image": {"b64": encoded}}]}).encode()
    many = json.dumps({"instances": [{"b64": encoded}] * 24}).encode()
    binary = len(image).to_bytes(4, "little") + image
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(binary)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    v2_type = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return {
        "detector V1": Request("/v1/models/detector:predict", v1, json_type),
        "detector V2": Request("/v2/models/detector/infer", head + binary, v2_type),
        "classifier": Request("/classifier/classify", image, {"content-type": "image/jpeg"}),
        "detector many": Request("/v1/models/detector:predict", many, json_type),
        "cars": Request("/v1/models/cars:predict", image, {"content-type": "image/jpeg"}),
        "digits": Request("/v1/models/digits:predict", image, {"content-type": "image/jpeg"}),
        "anomaly": Request("/anomaly/predict", window, json_type),
    }


def infer_request(service: str, timeout_ms: int | None = None, image: bytes | None = None) -> Request:
    """A ModelInfer over gRPC.

    Args:
        service: which takes an image.
        timeout_ms: the deadline that it asks for.
        image: the file's bytes; default: the sample image.
    """
    from tritonclient.grpc import service_pb2  # not at import: KServe's generated code defines the same names

    image = image or IMAGE.read_bytes()
    message = service_pb2.ModelInferRequest(model_name=service)
    message.inputs.add(name="image", datatype="BYTES", shape=[1])
    message.raw_input_contents.append(len(image).to_bytes(4, "little") + image)
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
        timeout_ms: the deadline that each request asks for.
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
