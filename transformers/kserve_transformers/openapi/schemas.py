"""JSON Schemas of requests and answers, from the tables by which requests are parsed and answers made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from kserve_transformers.protocol.forms import FIELDS
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v1 import ALLOWED_KEYS
from kserve_transformers.protocol.v2 import PROTOCOL_PARAMETERS, input_type
from kserve_transformers.service import Service
from kserve_transformers.tasks.task import OutputType

Schema = dict[str, Any]

# `image` is a format of our own: base64 of a file in one of the formats that are read, as a data: URL or without.
IMAGE: Schema = {"type": "string", "format": "image", "contentEncoding": "base64"}
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NUMBER: Schema = {"type": "number", "minimum": -_FLOAT32_MAX, "maximum": _FLOAT32_MAX}
_COUNT: Schema = {"type": "integer", "minimum": 0}
# V2's datatypes in JSON.
_ELEMENTS: Mapping[str, Schema] = {
    "BYTES": {"type": "string"},
    "FP32": {"type": "number"},
    "INT32": {"type": "integer"},
    "BOOL": {"type": "boolean"},
}


def ref(name: str) -> Schema:
    """A reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def typed_schemas(types: Iterable[type]) -> dict[str, Schema]:
    """Schemas of typed dictionaries and of all that they hold, by name; answers have no other keys."""
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (kind.__name__, "serialization", TypeAdapter(kind)) for kind in types
    ]
    _, document = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Schema] = document["$defs"]
    for schema in schemas.values():
        schema.setdefault("additionalProperties", False)
        for field in schema["properties"].values():
            field.pop("title", None)
    return schemas


def window_length(service: Service) -> int | None:
    """How many numbers a window has; None where the service takes images, or no model is known yet."""
    declared = service.chain.known
    return declared.input.shape[0] if declared and service.task.kind is InstanceKind.WINDOW else None


def instance(service: Service) -> Schema:
    """One instance in JSON, in all its forms."""
    if service.task.kind is InstanceKind.WINDOW:
        return {"anyOf": [_window(service), _only("window", _window(service))]}
    return {"anyOf": [IMAGE, _only("image", IMAGE), _only("b64", IMAGE), _only("image", _only("b64", IMAGE))]}


def parameters(service: Service) -> dict[str, Schema]:
    """The service's options."""
    return {name: one.schema for name, one in service.task.parameters.items()}


def own_request(service: Service, max_instances: int) -> Schema:
    """The JSON that the service's own route takes; other keys are ignored, as the legacy servers did."""
    if service.task.kind is InstanceKind.WINDOW:
        rows = {"type": "array", "minItems": 1, "maxItems": max_instances, "items": instance(service)}
        return {"type": "object", "required": ["data"], "properties": {"data": rows}}
    properties = {"image": instance(service), **parameters(service)}
    if service.task.presentation.repeats_id:
        properties["id"] = {"description": "Anything: the answer repeats it."}
    return {"type": "object", "required": ["image"], "properties": properties}


def form_request() -> Schema:
    """The form that browsers send: an image in one of two fields."""
    file = {"type": "string", "format": "binary", "contentMediaType": "image/*"}
    return {
        "type": "object",
        "properties": dict.fromkeys(FIELDS, file),
        "anyOf": [{"required": [name]} for name in FIELDS],
    }


def v1_request(service: Service, max_instances: int) -> Schema:
    """KServe's V1."""
    known: dict[str, Schema] = {
        "instances": {"type": "array", "minItems": 1, "maxItems": max_instances, "items": instance(service)},
        "parameters": {"type": "object", "properties": parameters(service), "additionalProperties": False},
        "signature_name": {"description": "Ignored: TensorFlow's clients send it."},
    }
    return {
        "type": "object",
        "required": ["instances"],
        "properties": {key: known[key] for key in sorted(ALLOWED_KEYS)},
        "additionalProperties": False,
    }


def v2_request(service: Service, max_instances: int) -> Schema:
    """V2's JSON: the shape must fit the data."""
    options: dict[str, Schema] = {name: {} for name in sorted(PROTOCOL_PARAMETERS)}
    options["binary_data_output"] = {"type": "boolean", "description": "Answer all outputs in the binary form."}
    wanted = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"enum": [*_outputs(service)]},
            "parameters": {"type": ["object", "null"], "properties": {"binary_data": {"type": "boolean"}}},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {
                "type": ["object", "null"],
                "properties": options | parameters(service),
                "additionalProperties": False,
            },
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _v2_input(service, max_instances)},
            "outputs": {"type": ["array", "null"], "items": wanted},
        },
    }


def v2_answer(service: Service) -> Schema:
    """V2's JSON."""
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": service.name},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"warning": {"type": "string"}}},
            "outputs": {"type": "array", "items": {"anyOf": [_v2_output(*one) for one in _outputs(service).items()]}},
        },
        "additionalProperties": False,
    }


def _outputs(service: Service) -> dict[str, OutputType]:
    return {**service.task.output_types(), **service.task.optional_outputs}


def _v2_input(service: Service, max_instances: int) -> Schema:
    declared = input_type(service.task.kind)
    window = service.task.kind is InstanceKind.WINDOW
    element = _NUMBER if window else IMAGE
    length = window_length(service) or "L"
    shape = f"[N, {length}]" if window else "[N], or [N, 1]"
    return {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": declared["name"]},
            "datatype": {"const": declared["datatype"]},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 2 if window else 1,
                "maxItems": 2,
                "description": f"{shape}; N is at most {max_instances}.",
            },
            "data": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [element, {"type": "array", "items": element}]},
                "description": "All elements in order, flat or in rows.",
            },
            "parameters": {"type": ["object", "null"]},
        },
    }


def _v2_output(name: str, output: OutputType) -> Schema:
    datatype, shape = output
    return {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": name},
            "datatype": {"const": datatype},
            "shape": {"type": "array", "items": _COUNT, "minItems": len(shape), "maxItems": len(shape)},
            "data": {"type": "array", "items": _ELEMENTS[datatype]},
            "parameters": {"type": "object", "properties": {"binary_data_size": _COUNT}},
        },
        "additionalProperties": False,
    }


def _window(service: Service) -> Schema:
    length = window_length(service)
    sizes = {"minItems": length, "maxItems": length} if length else {"minItems": 1}
    return {"type": "array", "items": _NUMBER, **sizes}


def _only(key: str, schema: Schema) -> Schema:
    return {"type": "object", "required": [key], "properties": {key: schema}, "additionalProperties": False}
