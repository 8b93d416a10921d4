"""Options of a request: the values that they take, how these are checked, and their OpenAPI description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kserve_transformers.errors import BadRequestError


@dataclass(frozen=True)
class Number:
    """A number from `minimum` to `maximum`."""

    minimum: float
    maximum: float
    description: str
    default: float

    @property
    def form(self) -> str:
        """What a value must be, in words."""
        return f"a number between {self.minimum:g} and {self.maximum:g}"

    @property
    def schema(self) -> dict[str, Any]:
        """What a value must be, in JSON Schema."""
        return {
            "type": "number",
            "minimum": self.minimum,
            "maximum": self.maximum,
            "description": self.description,
        }

    def accepts(self, value: object) -> bool:
        """Whether it is such a number; true and false are none."""
        return type(value) in (int, float) and self.minimum <= value <= self.maximum  # type: ignore[operator]


@dataclass(frozen=True)
class Flag:
    """True or false."""

    description: str
    default: bool = False
    form = "true or false"

    @property
    def schema(self) -> dict[str, Any]:
        """What a value must be, in JSON Schema."""
        return {"type": "boolean", "description": self.description}

    def accepts(self, value: object) -> bool:
        """Whether it is one of the two."""
        return isinstance(value, bool)


Parameter = Number | Flag


def check_parameters(service: str, known: Mapping[str, Parameter], given: Mapping[str, Any]) -> None:
    """Check a request's parameters against the service's.

    Raises:
        BadRequestError: one is not known, or not of the form that it takes.
    """
    for name, value in given.items():
        if name not in known:
            there_are = f": there are {', '.join(known)}" if known else ""
            raise BadRequestError(f"{service} has no parameter {name!r}{there_are}")
        if not known[name].accepts(value):
            raise BadRequestError(f"{name} must be {known[name].form}")
