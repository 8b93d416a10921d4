"""A server that answers the client as detector, digits and anomaly would, from the bytes that it is sent."""

import base64
import json
import re
import threading
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

WINDOW = 4
ANY = re.compile("/.*")
INPUTS = {
    "detector": {"name": "image", "datatype": "BYTES", "shape": [-1]},
    "digits": {"name": "image", "datatype": "BYTES", "shape": [-1]},
    "anomaly": {"name": "window", "datatype": "FP32", "shape": [-1, WINDOW]},
}


class FakeServices:
    """What the server was sent, and what it does.

    Attributes:
        url: of the server.
        images: the images that came, in order.
        parameters: of the latest request.
        at_most: answers until it hangs; None for ever.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.images: list[bytes] = []
        self.parameters: dict[str, Any] | None = None
        self.at_most: int | None = None
        self.hanging = threading.Event()  # set once a request hangs
        self.release = threading.Event()

    def predict(self, service: str, instance: Any) -> Any:
        """One prediction; `bad` is no image, `empty` holds nothing."""
        if service == "anomaly":
            return {"mae": instance[0], "threshold": 2.5, "anomaly": instance[0] > 2.5}
        self.images.append(instance)
        if self.at_most is not None and len(self.images) > self.at_most:
            self.hanging.set()
            self.release.wait(600)
        if instance.startswith(b"bad"):
            return None
        if service == "digits":
            return {"predicted_digit": len(instance), "confidence": 0.5}
        found = [] if instance == b"empty" else [("cup", 0.75), ("dog", 0.5)]
        return {"detections": [{"label": label, "confidence": score, "bbox": [1, 2, 3, 4]} for label, score in found]}


def fake_services(server: HTTPServer) -> FakeServices:
    """The services that a server answers for from now on."""
    fake = FakeServices(server.url_for("").rstrip("/"))

    def describe(request: Request) -> Response:
        name = request.path.rpartition("/")[2]
        if name in INPUTS:
            return _answer(200, {"inputs": [INPUTS[name]]})
        return _answer(404, {"error": f"there is no service {name}"})

    def predict(request: Request) -> Response:
        service = request.path.rpartition("/")[2].removesuffix(":predict")
        fake.parameters = None
        instances: list[Any] = [request.data]
        if request.is_json:
            fake.parameters = request.json.get("parameters")
            instances = [base64.b64decode(one["b64"]) if "b64" in one else one for one in request.json["instances"]]
        predictions = [fake.predict(service, one) for one in instances]
        if None in predictions:
            return _answer(415, {"error": "not an image"})
        return _answer(200, {"predictions": predictions})

    server.expect_request(ANY, method="GET").respond_with_handler(describe)
    server.expect_request(ANY, method="POST").respond_with_handler(predict)
    return fake


def _answer(status: int, document: Any) -> Response:
    return Response(json.dumps(document), status, content_type="application/json")
