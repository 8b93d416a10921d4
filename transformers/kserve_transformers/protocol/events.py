"""CloudEvents 1.0 around V1, as KServe's own server takes them: in binary mode (headers) and structured mode (JSON)."""

from collections.abc import Mapping
from typing import Any

from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.base64 import decode_base64
from kserve_transformers.protocol.documents import load_json

STRUCTURED = "application/cloudevents+json"
_REQUIRED = ("id", "source", "specversion", "type")
_VERSIONS = ("0.3", "1.0")


def is_structured(headers: Mapping[str, str]) -> bool:
    """Whether the content type says that the body is an event."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == STRUCTURED


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether headers say that the body is the data of an event."""
    return "ce-specversion" in headers


def event_data(body: bytes, headers: Mapping[str, str]) -> tuple[Any, Mapping[str, str]]:
    """The data of an event; a body that is no event as it is.

    Args:
        body: of the request.
        headers: of the request, names in lower case.

    Returns:
        The data, parsed where the event holds it as JSON, and the headers that describe it.

    Raises:
        BadRequestError: the event is malformed.
        TooLargeError: the JSON has more lists, objects or values than any request needs.
    """
    if is_binary(headers):
        _check({name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")})
    elif is_structured(headers):
        event = load_json(body)
        if not isinstance(event, dict):
            raise BadRequestError("a CloudEvent in JSON must be an object")
        _check(event)
        headers = {**headers, "content-type": str(event.get("datacontenttype", "application/json"))}
        if event.get("data") is not None:
            return event["data"], headers
        if not isinstance(event.get("data_base64"), str):
            raise BadRequestError('the CloudEvent has no data: send "data" or "data_base64"')
        return decode_base64(event["data_base64"]), headers
    return body, headers


def unwrapped(document: Any) -> Any:
    """The data of an event in structured mode that came as plain JSON; any other document as it is.

    KServe's own server knows it by its attributes, `time` among them, and answers it with plain JSON, too.
    """
    resembles = isinstance(document, dict) and {*_REQUIRED, "time", "data"} <= document.keys()
    return document["data"] if resembles else document


def answer_event(
    service: str, document: Mapping[str, Any], headers: Mapping[str, str]
) -> tuple[dict[str, str], bytes] | None:
    """The answer's headers and body as an event in the mode of the request; None where that was no event.

    Args:
        service: which answers.
        document: of the answer.
        headers: of the request, names in lower case.
    """
    if not is_binary(headers) and not is_structured(headers):
        return None
    attributes = {"type": "io.kserve.inference.response", "source": f"io.kserve.inference.{service}"}
    event = CloudEvent(attributes, document)
    made, body = to_binary(event) if is_binary(headers) else to_structured(event)
    return {**made, "content-type": "application/json" if is_binary(headers) else STRUCTURED}, body


def _check(attributes: Mapping[str, Any]) -> None:
    missing = [name for name in _REQUIRED if not isinstance(attributes.get(name), str) or not attributes[name]]
    if missing:
        raise BadRequestError(f"the CloudEvent has no attribute {missing[0]!r}: it needs {', '.join(_REQUIRED)}")
    if attributes["specversion"] not in _VERSIONS:
        raise BadRequestError(f"the CloudEvent must be of specversion {' or '.join(_VERSIONS)}")
