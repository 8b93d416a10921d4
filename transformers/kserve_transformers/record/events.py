"""A request and its answer as two CloudEvents, with the types and attributes of KServe's logger.

Both events have the request's id. Beside KServe's attributes they have `protocol`, `status` (an HTTP status, a gRPC
code, or gone), `durationus` (microseconds), and, of the model that answered, `model` and `release`. The data is JSON
whatever the protocol was: of the request a description of each instance, of the response V1's predictions. A request
that was refused has no data.

Source: CloudEvents 1.0 (JSON format); KServe's pkg/logger/worker.go.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from kserve_transformers.arrays.decoding import media_type
from kserve_transformers.observe import Ended, Exchange

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
WINDOW_TYPE = "application/vnd.modelport.window"  # float32, little-endian

ORIGIN = "MODELPORT_ORIGIN"  # a variable: what the server is called where the host's name does not tell it from others

_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Origin:
    """Where events come from.

    `host` is this server, in a cluster the pod's name; the namespace is the pod's, "default" outside of a cluster.
    """

    host: str
    namespace: str

    @classmethod
    def here(cls) -> Origin:
        """This server."""
        try:
            namespace = _NAMESPACE.read_text().strip()
        except OSError:
            namespace = "default"
        return cls(os.environ.get(ORIGIN) or socket.gethostname(), namespace)

    def attributes(self, service: str) -> dict[str, str]:
        """The attributes that all events of a service have."""
        return {
            "source": f"http://{self.host}/{service}",
            "inferenceservicename": service,
            "namespace": self.namespace,
            "component": "transformer",
            "endpoint": "canary" if "-canary-predictor" in self.host else "default",
        }


def render(exchange: Exchange, ended: Ended, origin: Origin, image_bytes: int) -> bytes:
    """The request's event and its response's, each as a line of JSON with its newline.

    Args:
        exchange: the request as it was carried out.
        ended: how it ended.
        origin: of the events.
        image_bytes: the largest instance whose content is recorded; -1: none is.
    """
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": exchange.request_id,
        **origin.attributes(ended.service),
        "metadata": json.dumps({name: [value] for name, value in exchange.trace.items()}),
        "recordedtime": _rfc3339(datetime.now(UTC).timestamp()),
        "protocol": ended.protocol,
        "status": ended.outcome,
        "durationus": round(ended.seconds * 1e6),
        **({"model": exchange.model, "release": exchange.release} if exchange.model else {}),
    }
    request = {"type": REQUEST, **attributes, "time": _rfc3339(exchange.began)}
    response = {"type": RESPONSE, **attributes, "time": _rfc3339(exchange.began + ended.seconds)}
    if ended.succeeded and exchange.predictions is not None:
        measured = exchange.measured or ({},) * len(exchange.instances)
        described = zip(exchange.instances, measured, strict=True)
        request |= _data(
            {
                "instances": [_described(instance, found, image_bytes) for instance, found in described],
                "parameters": dict(exchange.parameters),
            }
        )
        response |= _data({"predictions": list(exchange.predictions())})
    return b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in (request, response))


def _data(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"datacontenttype": "application/json", "data": document}


def _described(instance: Any, measured: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """What the record holds of an instance: an image's encoded bytes, or a window, float32 [L]."""
    image = isinstance(instance, bytes)
    content = instance if image else instance.astype("<f4", copy=False).tobytes()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "type": media_type(content) if image else WINDOW_TYPE,
        **measured,
        **({"content": base64.b64encode(content).decode()} if len(content) <= limit else {}),
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
