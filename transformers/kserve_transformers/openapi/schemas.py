"""JSON Schemas of requests and answers, from the tables by which requests are parsed and answers made."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from kserve_transformers.protocol import parameters as protocol_parameters
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v1 import ALLOWED_KEYS
from kserve_transformers.protocol.v2 import MODEL_VERSION, REQUEST_KEYS, input_type
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


def closed(properties: Mapping[str, Schema], *required: str, others: bool | Schema = False) -> Schema:
    """An object with these properties, some of them required, and no others unless it is said which."""
    wanted = {"required": [*required]} if required else {}
    return {"type": "object", **wanted, "properties": dict(properties), "additionalProperties": others}


def array(items: Schema, **more: Any) -> Schema:
    """A list of items, of one or more."""
    return {"type": "array", "minItems": 1, "items": items, **more}


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
    """The JSON that the service's own route takes; texts that older clients send beside it are ignored."""
    properties = parameters(service)
    if service.task.presentation.repeats_id:
        properties["id"] = {"description": "Anything: the answer repeats it."}
    if service.task.kind is InstanceKind.WINDOW:
        key, one = "data", array(instance(service), maxItems=max_instances)
    else:
        key, one = "image", instance(service)
    others = {"type": ["string", "null"], "description": "Ignored, unless its name or value is that of an option."}
    return closed({key: one, **properties}, key, others=others)


def form_request(service: Service) -> Schema:
    """The form that browsers send."""
    text = "The image, with or without a filename. The field may be called `image`, too."
    file = {"type": "string", "format": "binary", "contentMediaType": "image/*", "description": text}
    properties = {name: {**one, "type": one["type"][0]} for name, one in parameters(service).items()}
    if service.task.presentation.repeats_id:
        properties["id"] = {"type": "string", "description": "The answer repeats it."}
    return {"type": "object", "required": ["file"], "properties": {"file": file, **properties}}


def v1_request(service: Service, max_instances: int) -> Schema:
    """KServe's V1."""
    known: dict[str, Schema] = {
        "instances": array(instance(service), maxItems=max_instances),
        "parameters": _nullable(parameters(service)),
        "signature_name": {"description": "Ignored: TensorFlow's clients send it."},
    }
    return closed({key: known[key] for key in ALLOWED_KEYS}, "instances")


def event() -> Schema:
    """A CloudEvent in structured mode."""
    attributes: dict[str, Schema] = {name: {"type": "string", "minLength": 1} for name in ("id", "source", "type")}
    attributes["specversion"] = {"type": "string", "enum": ["0.3", "1.0"]}
    attributes["data"] = {"type": "object", "description": "What the route takes, or answers, as plain JSON."}
    return {"type": "object", "required": [*attributes], "properties": attributes}


def v2_request(service: Service, max_instances: int) -> Schema:
    """V2's JSON: the shape must fit the data."""
    options = {name: dict(one.schema) for name, one in protocol_parameters.REQUEST.items()}
    of_output = _nullable({name: dict(one.schema) for name, one in protocol_parameters.OUTPUT.items()})
    wanted = closed({"name": {"enum": [*_outputs(service)]}, "parameters": of_output}, "name")
    known: dict[str, Schema] = {
        "id": {"type": ["string", "null"], "description": "The answer repeats it."},
        "inputs": array(_v2_input(service, max_instances), maxItems=1),
        "outputs": {
            "type": ["array", "null"],
            "items": wanted,
            "description": "Those that are answered; all if empty.",
        },
        "parameters": _nullable(options | parameters(service)),
        "model_name": {"enum": [service.name, None]},
        "model_version": {"enum": ["", MODEL_VERSION, None]},
    }
    return closed({key: known[key] for key in REQUEST_KEYS}, "inputs")


def _nullable(properties: Mapping[str, Schema]) -> Schema:
    return {**closed(properties), "type": ["object", "null"]}


def v2_answer(service: Service) -> Schema:
    """V2's JSON."""
    properties: dict[str, Schema] = {
        "model_name": {"const": service.name},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object", "properties": {"warning": {"type": "string"}}},
        "outputs": {"type": "array", "items": {"anyOf": [_v2_output(*one) for one in _outputs(service).items()]}},
    }
    return closed(properties, "model_name", "model_version", "outputs")


def _outputs(service: Service) -> dict[str, OutputType]:
    return {**service.task.output_types(service.chain.known), **service.task.optional_outputs}


def _v2_input(service: Service, max_instances: int) -> Schema:
    declared = input_type(service.task.kind)
    window = service.task.kind is InstanceKind.WINDOW
    element = _NUMBER if window else IMAGE
    length = window_length(service) or "L"
    shape = f"[N, {length}]" if window else "[N], or [N, 1]"
    sizes = array({"type": "integer", "minimum": 1}, maxItems=2, description=f"{shape}; N is at most {max_instances}.")
    properties = {
        "name": {"const": declared["name"]},
        "datatype": {"const": declared["datatype"]},
        "shape": {**sizes, "minItems": 2 if window else 1},
        "data": array(
            {"anyOf": [element, {"type": "array", "items": element}]},
            description="All elements in order, flat or in rows.",
        ),
        "parameters": {"type": ["object", "null"], "additionalProperties": False},
    }
    return closed(properties, "name", "datatype", "shape", "data")


def _v2_output(name: str, output: OutputType) -> Schema:
    datatype, shape = output
    properties: dict[str, Schema] = {
        "name": {"const": name},
        "datatype": {"const": datatype},
        "shape": {"type": "array", "items": _COUNT, "minItems": len(shape), "maxItems": len(shape)},
        "data": {"type": "array", "items": _ELEMENTS[datatype]},
        "parameters": {"type": "object", "properties": {"binary_data_size": _COUNT}},
    }
    return closed(properties, "name", "datatype", "shape")


def _window(service: Service) -> Schema:
    length = window_length(service)
    return array(_NUMBER, **({"minItems": length, "maxItems": length} if length else {}))


def _only(key: str, schema: Schema) -> Schema:
    return closed({key: schema}, key)
