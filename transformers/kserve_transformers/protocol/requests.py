"""The one request type into which every protocol is parsed, and the instances that it carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.base64 import decode_base64

Window = npt.NDArray[np.float32]

# Samples beyond this overflow float32 inside a network. Its answer is not finite then, which says nothing about the
# model's health: such a request must not count against it.
LARGEST_SAMPLE = 1e30


class InstanceKind(Enum):
    """What the instances of a service are."""

    IMAGE = "image"
    WINDOW = "window"


@dataclass(frozen=True)
class ServiceRequest:
    """A request after its wire format is taken off."""

    instances: tuple[bytes | Window, ...]  # encoded images (bytes), or windows of a series (float32 [L])
    # options by name, as they came; the service checks them. None is absent.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float | None = None  # seconds that the request allows in its body, where it does


def image_from_json(value: object) -> bytes:
    """One image in JSON: {"image": {"b64": text}}, {"image": text}, {"b64": text} or the bare text.

    Raises:
        BadRequestError: none of these, or damaged base64.
    """
    for key in ("image", "b64"):
        value = _only(value, key)
    if not isinstance(value, str):
        raise BadRequestError('an instance must be {"image": {"b64": "..."}}, {"b64": "..."} or the base64 text')
    return decode_base64(value)


def window_from_json(value: object) -> Window:
    """One window of a series in JSON: a list of numbers, or {"window": [...]}.

    Raises:
        BadRequestError: not a flat list of finite numbers.
    """
    value = _only(value, "window")
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise BadRequestError('an instance must be a list of numbers, or {"window": [...]}')
    return finite_window(_to_float32(value))


def finite_window(window: npt.NDArray[Any]) -> Window:
    """Check that every sample is a finite float32 with which a network can still calculate.

    Raises:
        BadRequestError: one is not.
    """
    if not np.isfinite(window).all():
        raise BadRequestError("a window holds a number that is not finite in 32-bit floating point")
    if np.abs(window).max(initial=0.0) > LARGEST_SAMPLE:
        raise BadRequestError(f"a window holds a number beyond {LARGEST_SAMPLE:g}: send samples of a smaller magnitude")
    return window.astype(np.float32, copy=False)


def instance_from_json(kind: InstanceKind, value: object) -> bytes | Window:
    """One instance of the kind that the service takes."""
    return image_from_json(value) if kind is InstanceKind.IMAGE else window_from_json(value)


def _only(value: object, key: str) -> object:
    """What an object holds under its only key; any other value as it is.

    Raises:
        BadRequestError: the object has other keys, too.
    """
    if not isinstance(value, dict) or key not in value:
        return value
    others = [name for name in value if name != key]
    if others:
        raise BadRequestError(f"unknown key {others[0][:40]!r} in an instance: options belong to the whole request")
    return value[key]


def _to_float32(numbers: list[float]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        try:
            return np.array(numbers, np.float64).astype(np.float32)
        except OverflowError:
            raise BadRequestError("a window holds a number that is too large for floating point") from None
