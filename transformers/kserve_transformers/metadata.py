"""V2 metadata of the server and its services: the one table from which REST and gRPC answer."""

from __future__ import annotations

from typing import Any

from kserve_transformers import __version__
from kserve_transformers.protocol.v2 import MODEL_VERSION
from kserve_transformers.service import Service

SERVER_NAME = "modelport"
PLATFORM = "kserve_transformers"
# Each works over REST and gRPC alike: raw tensors in both directions, parameters of requests, and a service's config.
EXTENSIONS = ("binary_tensor_data", "parameters", "model_configuration")
# Triton's names in a config of the datatypes that differ from V2's.
_CONFIG_TYPES = {"BYTES": "STRING"}


def server_metadata() -> dict[str, Any]:
    """Name, version and protocol extensions of this server."""
    return {"name": SERVER_NAME, "version": __version__, "extensions": list(EXTENSIONS)}


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


def service_config(service: Service) -> dict[str, Any]:
    """The same as Triton's ModelConfig in JSON: what perf_analyzer and other clients of Triton ask for first.

    max_batch_size is 0: dims are whole shapes, as metadata has them.
    """
    known = service_metadata(service)

    def tensors(kind: str) -> list[dict[str, Any]]:
        return [
            {
                "name": one["name"],
                "data_type": f"TYPE_{_CONFIG_TYPES.get(one['datatype'], one['datatype'])}",
                "dims": one["shape"],
            }
            for one in known[kind]
        ]

    return {
        "name": service.name,
        "platform": PLATFORM,
        "backend": "",
        "version_policy": {"specific": {"versions": [int(version) for version in known["versions"]]}},
        "max_batch_size": 0,
        "input": tensors("inputs"),
        "output": tensors("outputs"),
    }
