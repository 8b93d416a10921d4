"""Sample requests: an instance of a task in every protocol's form, for documents, demos, tests and measurements."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v2 import JSON_LENGTH_HEADER, input_type, join_bytes
from kserve_transformers.tasks.task import Task

AnyTask = Task[Any, Any]
_JSON = {"content-type": "application/json"}
_OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class SampleRequest:
    """A POST, ready to be sent."""

    path: str
    body: bytes
    headers: Mapping[str, str]


def legacy_document(task: AnyTask, instance: Any) -> dict[str, Any]:
    """The legacy route's JSON for one instance: an image's bytes, or a window's numbers."""
    if task.kind is InstanceKind.WINDOW:
        return {"data": [instance]}
    return {**({"id": "1"} if task.presentation.repeats_id else {}), "image": _in_json(task, instance)}


def v1_document(task: AnyTask, *instances: Any) -> dict[str, Any]:
    """V1's JSON."""
    encoded = [_in_json(task, instance) for instance in instances]
    image = task.kind is InstanceKind.IMAGE
    return {"instances": [{"image": {"b64": one}} for one in encoded] if image else encoded}


def v2_document(task: AnyTask, instance: Any) -> dict[str, Any]:
    """V2's JSON."""
    declared = input_type(task.kind)
    one = _in_json(task, instance)
    shape, data = ([1, len(one)], one) if task.kind is InstanceKind.WINDOW else ([1], [one])
    return {"inputs": [{"name": declared["name"], "datatype": declared["datatype"], "shape": shape, "data": data}]}


def v2_tensor(task: AnyTask, instance: Any) -> tuple[dict[str, Any], bytes]:
    """The input tensor of one instance (name, datatype, shape), and its raw data for the binary form and gRPC."""
    declared = input_type(task.kind)
    if task.kind is InstanceKind.WINDOW:
        window = np.array(instance, "<f4")
        return {**declared, "shape": [1, len(window)]}, window.tobytes()
    return {**declared, "shape": [1]}, join_bytes([instance])


def v2_binary(task: AnyTask, instance: Any) -> SampleRequest:
    """V2 in the binary form."""
    tensor, data = v2_tensor(task, instance)
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}).encode()
    headers = {"content-type": _OCTETS, JSON_LENGTH_HEADER: str(len(head))}
    return SampleRequest(f"/v2/models/{task.name}/infer", head + data, headers)


def raw_image(task: AnyTask, instance: bytes) -> SampleRequest:
    """V1 with an image's own bytes as the body."""
    kind = "image/png" if instance.startswith(b"\x89PNG") else "image/jpeg"
    return SampleRequest(f"/v1/models/{task.name}:predict", instance, {"content-type": kind})


def sample_request(task: AnyTask, protocol: str, instance: Any = None) -> SampleRequest:
    """One instance in the JSON form of a protocol.

    Args:
        task: of the service.
        protocol: "own" (the legacy route), "v1" or "v2".
        instance: an image's bytes or a window's numbers; the task's example where it is left out.
    """
    make, path = _PROTOCOLS[protocol]
    document = make(task, task.example_instance() if instance is None else instance)
    route = task.presentation.route
    return SampleRequest(path.format(name=task.name, route=route), json.dumps(document).encode(), _JSON)


_PROTOCOLS: Mapping[str, tuple[Callable[[AnyTask, Any], dict[str, Any]], str]] = {
    "own": (legacy_document, "/{name}{route}"),
    "v1": (v1_document, "/v1/models/{name}:predict"),
    "v2": (v2_document, "/v2/models/{name}/infer"),
}


def _in_json(task: AnyTask, instance: Any) -> Any:
    return base64.b64encode(instance).decode() if task.kind is InstanceKind.IMAGE else instance
