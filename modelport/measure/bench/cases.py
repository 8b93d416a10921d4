"""The benchmark's cases: each service with one model, and the same image in every form in which it can be sent."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.tasks import TASKS, build_task
from modelport.environment import ROOT
from modelport.measure.generator.requests import INFER_METHOD, Request
from modelport.samples import sample_file
from modelport.services import choose

REPOSITORY = ROOT / "model_repository"
PICTURES = ROOT / "tests" / "data" / "images"
VGA, LARGE = (640, 480), (4000, 3000)  # pixels, width and height: 0.3 and 12 megapixels
GRPC = "gRPC"
JSON, JPEG = {"content-type": "application/json"}, {"content-type": "image/jpeg"}


@dataclass(frozen=True)
class Case:
    """A service with one model.

    Attributes:
        service, model: names.
        legacy_route: of the legacy server; ours is the same below /SERVICE.
        most: the highest concurrency that is measured; more callers of a slow model would wait for minutes.
    """

    service: str
    model: str
    legacy_route: str
    most: int = 32


CASES: Mapping[str, Case] = {
    "detector": Case("detector", "yolov3_tiny", "/api/"),
    "wide_resnet": Case("classifier", "wide_resnet50_2", "/classify", most=8),
    "lite0": Case("classifier", "efficientnet_lite0", "/classify"),
    "mobilenet": Case("classifier", "mobilenet_v2", "/classify"),
    "cars": Case("cars", "cars", "/predict"),
    "digits": Case("digits", "mnist", "/predict"),
    "anomaly": Case("anomaly", "anomaly", "/predict"),
}
DEFAULT = tuple(name for name in CASES if name != "mobilenet")  # Lite0 represents the small networks


@cache
def photo(size_wh: tuple[int, int], grain: float = 0.0) -> bytes:
    """coffee.jpg in another size, saved like a camera's: JPEG, quality 90.

    Args:
        size_wh: pixels.
        grain: standard deviation of added sensor noise in grey levels. Without it, 12 enlarged megapixels make a file
            of 1 MB, where phones write 2 to 4.
    """
    image = np.asarray(Image.open(PICTURES / "coffee.jpg").resize(size_wh, Image.Resampling.BICUBIC))
    if grain:
        noise = np.random.default_rng(0).normal(0, grain, image.shape[:2]).astype(np.float32)
        image = np.clip(image + noise[..., np.newaxis], 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def instance(service: str) -> bytes:
    """One instance for a service: an image's bytes, or a window in JSON."""
    (spec,) = choose(service)
    if TASKS[spec.task].takes_photos:
        return photo(VGA)
    return sample_file(spec).read_bytes()


def requests(case: Case) -> dict[str, Request]:
    """The requests by protocol; the first is measured at every concurrency, `own` also at the legacy server."""
    data = instance(case.service)
    (spec,) = choose(case.service)
    window = TASKS[spec.task].kind is InstanceKind.WINDOW
    made = _window_requests(case, data) if window else _image_requests(case, data)
    return {**made, "own": own_request(case, data, f"/{case.service}")}


def own_request(case: Case, data: bytes, prefix: str = "") -> Request:
    """The request of the legacy route; the legacy server has it at the root."""
    path, (spec,) = prefix + case.legacy_route, choose(case.service)
    task = build_task(spec)
    if task.kind is InstanceKind.WINDOW:
        return Request(path, b'{"data": [' + data + b"]}", JSON)
    if task.presentation.repeats_id:
        return Request(path, json.dumps({"id": "1", "image": base64.b64encode(data).decode()}).encode(), JSON)
    edge = "e2b5f1c0"
    kind = _image_type(data)
    head = f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="image"\r\ncontent-type: {kind}\r\n\r\n'
    return Request(
        path,
        head.encode() + data + f"\r\n--{edge}--\r\n".encode(),
        {"content-type": f"multipart/form-data; boundary={edge}"},
    )


def _image_type(data: bytes) -> str:
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


def _image_requests(case: Case, data: bytes) -> dict[str, Request]:
    v1, v2 = f"/v1/models/{case.service}:predict", f"/v2/models/{case.service}/infer"
    element = len(data).to_bytes(4, "little") + data
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}
    instances = json.dumps({"instances": [{"image": {"b64": base64.b64encode(data).decode()}}]}).encode()
    return {
        "raw body": Request(v1, data, {"content-type": _image_type(data)}),
        "V1": Request(v1, instances, JSON),
        "V2": _binary(v2, tensor, element),
        GRPC: _message(case, "image", "BYTES", [1], element),
    }


def _window_requests(case: Case, data: bytes) -> dict[str, Request]:
    values = np.array(json.loads(data), np.float32)
    shape = [1, len(values)]
    tensor = {"name": "window", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": values.nbytes}}
    return {
        "V1": Request(f"/v1/models/{case.service}:predict", b'{"instances": [' + data + b"]}", JSON),
        "V2": _binary(f"/v2/models/{case.service}/infer", tensor, values.tobytes()),
        GRPC: _message(case, "window", "FP32", shape, values.tobytes()),
    }


def _binary(path: str, tensor: Mapping[str, object], data: bytes) -> Request:
    head = json.dumps({"inputs": [tensor]}).encode()
    sizes = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return Request(path, head + data, sizes)


def _message(case: Case, name: str, datatype: str, shape: list[int], data: bytes) -> Request:
    from tritonclient.grpc import (
        service_pb2,
    )  # not at import: KServe's generated code, which `raw` imports, defines the same names

    message = service_pb2.ModelInferRequest(model_name=case.service)
    message.inputs.add(name=name, datatype=datatype, shape=shape)
    message.raw_input_contents.append(data)
    return Request(INFER_METHOD, message.SerializeToString(), {})
