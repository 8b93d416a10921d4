"""The parameters of V2 that belong to the protocol and not to a service: one table for REST and gRPC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kserve_transformers.errors import BadRequestError

_SHARED_MEMORY = "shared_memory_"


@dataclass(frozen=True)
class ProtocolParameter:
    """A parameter of the protocol.

    `form` says in words what a value must be, `accepts` whether it is, and `schema` the same in JSON Schema, with a
    description.
    """

    form: str
    accepts: Callable[[Any], bool]
    schema: Mapping[str, Any]


def _flag(description: str) -> ProtocolParameter:
    schema = {"type": ["boolean", "null"], "description": description}
    return ProtocolParameter("true or false", lambda value: isinstance(value, bool), schema)


def _is_unsigned(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**64


def _unsigned(description: str) -> ProtocolParameter:
    schema = {"type": ["integer", "null"], "minimum": 0, "description": description}
    return ProtocolParameter("an integer from 0", _is_unsigned, schema)


# Triton takes `priority` and the sequence parameters for stateless models without levels of priority, too.
_NO_EFFECT = "Of Triton's clients; it changes nothing, since services are stateless and have one level of priority."
REQUEST: Mapping[str, ProtocolParameter] = {
    "timeout": _unsigned("Microseconds after which the answer is not wanted any more; 0: the server's limit."),
    "binary_data_output": _flag("Answer all outputs in the binary form, as gRPC always does."),
    "priority": _unsigned(_NO_EFFECT),
    "sequence_id": ProtocolParameter(
        "an integer from 0, or a text",
        lambda value: isinstance(value, str) or _is_unsigned(value),
        {"type": ["integer", "string", "null"], "minimum": 0, "description": _NO_EFFECT},
    ),
    "sequence_start": _flag(_NO_EFFECT),
    "sequence_end": _flag(_NO_EFFECT),
    "triton_enable_empty_final_response": _flag("Of Triton's clients; every request has one answer, which is final."),
}
INPUT: Mapping[str, ProtocolParameter] = {"binary_data_size": _unsigned("Bytes of this input behind the JSON.")}
OUTPUT: Mapping[str, ProtocolParameter] = {"binary_data": _flag("Answer this output in the binary form.")}


def split_parameters(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the parameters of a request.

    Returns:
        Those of the protocol, checked and without those that are null, and the options of the service, as they came.

    Raises:
        BadRequestError: a parameter of the protocol has a value that it does not take.
    """
    own = {name: value for name, value in given.items() if name in REQUEST}
    options = {name: value for name, value in given.items() if name not in REQUEST}
    return _checked(own, REQUEST), options


def tensor_parameters(tensor: str, given: Mapping[str, Any], known: Mapping[str, ProtocolParameter]) -> dict[str, Any]:
    """The parameters of an input or output, without those that are null.

    Args:
        tensor: names it in errors: "input 'image'".
        given: its parameters, as they came.
        known: INPUT or OUTPUT.

    Raises:
        BadRequestError: a parameter is not known, or has a value that it does not take.
    """
    for name in given:
        if name in known:
            continue
        why = f"there is {', '.join(known)}"
        if name.startswith(_SHARED_MEMORY):
            why = "shared memory is not offered, send the data in the request"
        elif name == "classification":
            why = "the classification extension is not offered, the service's own outputs name the classes"
        raise BadRequestError(f"{tensor} takes no parameter {name[:40]!r}: {why}")
    return _checked(given, known)


def timeout_s(own: Mapping[str, Any]) -> float | None:
    """The time in seconds that a request's parameter `timeout` allows, None where it sets no limit."""
    microseconds: int = own.get("timeout", 0)
    return microseconds / 1e6 if microseconds else None


def _checked(given: Mapping[str, Any], known: Mapping[str, ProtocolParameter]) -> dict[str, Any]:
    present = {name: value for name, value in given.items() if value is not None}
    for name, value in present.items():
        if not known[name].accepts(value):
            raise BadRequestError(f"{name} must be {known[name].form}")
    return present
