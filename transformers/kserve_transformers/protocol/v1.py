"""KServe's V1 protocol: {"instances": [...]} or one raw picture, to {"predictions": [...]}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kserve_transformers.errors import BadRequestError, UnsupportedMediaError
from kserve_transformers.protocol.documents import load_json
from kserve_transformers.protocol.requests import InstanceKind, ServiceRequest, instance_from_json

_ALLOWED_KEYS = {"instances", "parameters", "signature_name"}


def parse_v1(kind: InstanceKind, payload: object, headers: Mapping[str, str]) -> ServiceRequest:
    """Take V1's wire format off.

    Args:
        kind: what the service is asked about.
        payload: the parsed JSON body, or the body's bytes where its content type is not JSON.
        headers: of the request, names in lower case.

    Raises:
        BadRequestError: the JSON is not a V1 request.
        UnsupportedMediaError: raw bytes for a service that does not look at pictures.
    """
    if isinstance(payload, bytes):
        if kind is InstanceKind.IMAGE and not _looks_like_json(payload, headers.get("content-type", "")):
            return ServiceRequest((payload,))
        payload = parse_json(payload, kind)
    if not isinstance(payload, dict) or not isinstance(payload.get("instances"), list):
        raise BadRequestError(f'the body must be {{"instances": [...]}}, each one {_example(kind)}')
    unknown = set(payload) - _ALLOWED_KEYS
    if unknown:
        raise BadRequestError(f'unknown key {sorted(unknown)[0]!r}: options go into "parameters"')
    parameters = payload.get("parameters", {})
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
        raise BadRequestError(f"{exc}; a raw picture needs a content type such as image/jpeg") from None


def check_identity_encoding(headers: Mapping[str, str]) -> None:
    """Refuse compressed bodies: a small one can unfold into any size.

    Raises:
        UnsupportedMediaError: the request has a content encoding.
    """
    if headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaError("compressed bodies are not read: send it without Content-Encoding")


def _looks_like_json(body: bytes, content_type: str) -> bool:
    """Curl's default content type is a form's: then the first byte decides."""
    if content_type.startswith("image/"):
        return False
    return "json" in content_type or body[:64].lstrip()[:1] in (b"{", b"[")


def _example(kind: InstanceKind) -> str:
    return '{"image": {"b64": "..."}}' if kind is InstanceKind.IMAGE else "a list of numbers"
