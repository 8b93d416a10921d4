"""The benchmark's cases: each service with one model, and the same image in every form in which it can be sent."""

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
from kserve_transformers.tasks.samples import raw_image, sample_request, v2_binary
from modelport.measure.generator.requests import Request
from modelport.measure.traffic import infer_request, posted
from modelport.samples import PHOTO, sample_file
from modelport.services import choose

VGA, LARGE = (640, 480), (4000, 3000)  # pixels, width and height: 0.3 and 12 megapixels
GRPC = "gRPC"
JSON, JPEG = {"content-type": "application/json"}, {"content-type": "image/jpeg"}


@dataclass(frozen=True)
class Case:
    """A service with one model."""

    # service, model: names
    service: str
    model: str
    legacy_route: str  # of the legacy server; ours is the same below /SERVICE
    most: int = 32  # the highest concurrency that is measured; more callers of a slow model would wait for minutes


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
    image = np.asarray(Image.open(PHOTO).resize(size_wh, Image.Resampling.BICUBIC))
    if grain:
        noise = np.random.default_rng(0).normal(0, grain, image.shape[:2]).astype(np.float32)
        image = np.clip(image + noise[..., np.newaxis], 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def instance(service: str) -> bytes:
    """One instance for a service: an image's bytes, or a window in JSON."""
    (spec,) = choose(service)
    return photo(VGA) if TASKS[spec.task].takes_photos else sample_file(spec).read_bytes()


def requests(case: Case) -> dict[str, Request]:
    """The requests by protocol; the first is measured at every concurrency, `own` also at the legacy server."""
    (spec,), data = choose(case.service), instance(case.service)
    task = build_task(spec)
    window = task.kind is InstanceKind.WINDOW
    given = json.loads(data) if window else data
    return {
        **({} if window else {"raw body": posted(raw_image(task, data))}),
        "V1": posted(sample_request(task, "v1", given)),
        "V2": posted(v2_binary(task, given)),
        GRPC: infer_request(case.service, instance=given),
        "own": own_request(case, data, f"/{case.service}"),
    }


def own_request(case: Case, data: bytes, prefix: str = "") -> Request:
    """The request of the legacy route; the legacy server has it at the root."""
    path, (spec,) = prefix + case.legacy_route, choose(case.service)
    task = build_task(spec)
    if task.kind is InstanceKind.WINDOW:
        return Request(path, b'{"data": [' + data + b"]}", JSON)
    if task.presentation.repeats_id:
        return Request(path, json.dumps({"id": "1", "image": base64.b64encode(data).decode()}).encode(), JSON)
    edge, kind = "e2b5f1c0", raw_image(task, data).headers["content-type"]
    head = f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="image"\r\ncontent-type: {kind}\r\n\r\n'
    return Request(
        path,
        head.encode() + data + f"\r\n--{edge}--\r\n".encode(),
        {"content-type": f"multipart/form-data; boundary={edge}"},
    )
