"""A server that answers the client as detector, digits and anomaly would, from the bytes that it is sent."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WINDOW = 4
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

    def __init__(self) -> None:
        self.url = ""
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
            self.release.wait(60)
        if instance.startswith(b"bad"):
            return None
        if service == "digits":
            return {"predicted_digit": len(instance), "confidence": 0.5}
        found = [] if instance == b"empty" else [("cup", 0.75), ("dog", 0.5)]
        return {"detections": [{"label": label, "confidence": score, "bbox": [1, 2, 3, 4]} for label, score in found]}


@contextlib.contextmanager
def fake_services() -> Iterator[FakeServices]:
    """The server within the block, on a free port."""
    fake = FakeServices()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            if name in INPUTS:
                self.answer(200, {"inputs": [INPUTS[name]]})
            else:
                self.answer(404, {"error": f"there is no service {name}"})

        def do_POST(self) -> None:
            service = self.path.rpartition("/")[2].removesuffix(":predict")
            body = self.rfile.read(int(self.headers["content-length"]))
            fake.parameters = None
            instances: list[Any] = [body]
            if self.headers["content-type"] == "application/json":
                sent = json.loads(body)
                fake.parameters = sent.get("parameters")
                instances = [base64.b64decode(one["b64"]) if "b64" in one else one for one in sent["instances"]]
            predictions = [fake.predict(service, one) for one in instances]
            if None in predictions:
                self.answer(415, {"error": "not an image"})
            else:
                self.answer(200, {"predictions": predictions})

        def answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            with contextlib.suppress(OSError):  # the client was killed
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        yield fake
        fake.release.set()
        server.shutdown()
