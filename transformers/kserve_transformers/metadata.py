"""V2 metadata of the server and its services: the one table from which REST and gRPC answer."""

from collections.abc import Mapping
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
    outputs = service.task.output_types(service.chain.known)
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

    Where an input has no dimension but that of the instances, max_batch_size is 0, and dims are whole shapes, as in the
    metadata; elsewhere dims leave out the first dimension.
    """
    known = service_metadata(service)
    batches = all(len(one["shape"]) > 1 for one in known["inputs"])

    def tensor(one: Mapping[str, Any]) -> dict[str, Any]:
        datatype = _CONFIG_TYPES.get(one["datatype"], one["datatype"])
        dims = one["shape"][1:] or [1] if batches else one["shape"]
        return {"name": one["name"], "data_type": f"TYPE_{datatype}", "dims": dims}

    return {
        "name": service.name,
        "platform": PLATFORM,
        "backend": "",
        "version_policy": {"specific": {"versions": [int(version) for version in known["versions"]]}},
        "max_batch_size": service.max_instances if batches else 0,
        "input": [tensor(one) for one in known["inputs"]],
        "output": [tensor(one) for one in known["outputs"]],
    }
