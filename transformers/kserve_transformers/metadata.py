"""V2 metadata of the server and its services: the one table from which REST and gRPC answer."""

from __future__ import annotations

from typing import Any

from kserve_transformers.protocol.v2 import MODEL_VERSION
from kserve_transformers.service import Service

SERVER_NAME = "modelport"
PLATFORM = "kserve_transformers"
EXTENSIONS = ("binary_tensor_data",)


def server_metadata(version: str) -> dict[str, Any]:
    """Name, version and protocol extensions of this server."""
    return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}


def service_metadata(service: Service) -> dict[str, Any]:
    """Inputs and outputs of a service; a window's length is there once its model is known."""
    outputs = service.task.output_types()
    return {
        "name": service.name,
        "versions": [MODEL_VERSION],
        "platform": PLATFORM,
        "inputs": [service.task.input_type(service.chain.known)],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape} for name, (datatype, shape) in outputs.items()
        ],
    }
