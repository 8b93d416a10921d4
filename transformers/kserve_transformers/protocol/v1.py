"""KServe's V1 protocol: {"instances": [...]} or one raw image, to {"predictions": [...]}."""

from collections.abc import Mapping
from typing import Any

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.documents import check_keys, load_json
from kserve_transformers.protocol.events import unwrapped
from kserve_transformers.protocol.media import Body, declared_body, seen_body
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, instance_from_json

ALLOWED_KEYS = ("instances", "parameters", "signature_name")
BODIES = {InstanceKind.IMAGE: (Body.JSON, Body.IMAGE), InstanceKind.WINDOW: (Body.JSON,)}


def parse_v1(kind: InstanceKind, payload: object, headers: Mapping[str, str]) -> ServiceRequest:
    """Take V1's wire format off.

    Args:
        kind: of the instances that the service takes.
        payload: the body's bytes, or what a CloudEvent held as JSON.
        headers: of the request, names in lower case.

    Raises:
        BadRequestError: the JSON is not a V1 request.
        UnsupportedMediaError: a body of another kind than the service reads.
    """
    if isinstance(payload, bytes):
        if (declared_body(headers, BODIES[kind]) or seen_body(payload)) is Body.IMAGE:
            return ServiceRequest((payload,))
        payload = unwrapped(parse_json(payload, kind))
    if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
        raise BadRequestError(f'the body must be {{"instances": [...]}}, each one {_example(kind)}')
    check_keys(payload, ALLOWED_KEYS, "the body")
    parameters = {} if payload.get("parameters") is None else payload["parameters"]
    if not isinstance(parameters, dict):
        raise BadRequestError('"parameters" must be an object')
    if not payload["instances"]:
        raise BadRequestError('"instances" is empty: send at least one')
    return ServiceRequest(tuple(instance_from_json(kind, value) for value in payload["instances"]), parameters)


def parse_json(body: bytes, kind: InstanceKind = InstanceKind.IMAGE) -> Any:
    """Parse a JSON body.

    Raises:
        BadRequestError: not JSON, and the service takes no other body.
        TooLargeError: more lists, objects or values than any request needs.
    """
    try:
        return load_json(body)
    except BadRequestError as exc:
        if kind is InstanceKind.WINDOW:
            raise
        raise BadRequestError(f"{exc}; a raw image needs a content type such as image/jpeg") from None


def _example(kind: InstanceKind) -> str:
    return '{"image": {"b64": "..."}}' if kind is InstanceKind.IMAGE else "a list of numbers"
