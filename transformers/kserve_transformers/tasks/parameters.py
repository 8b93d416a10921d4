"""Options of a request: the values that they take, how these are checked, and their OpenAPI description."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kserve_transformers.errors import BadRequestError

_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})(e[+-]?[0-9]{1,3})?", re.IGNORECASE | re.ASCII)
_FLAGS = {"true": True, "false": False}
# What names an option, of whichever server. Numbers, truth values, lists and objects are options whatever their names.
_OPTION = re.compile(
    r"thresh|confiden|\bconf\b|(?<![a-z])iou|nms|model|version|class|label|format|mode|output|param|option|setting",
    re.IGNORECASE,
)
# What names a request: `id`, `user_id`, `timestamp`, `frame_time`, ...
_NAME_OF_REQUEST = re.compile(r"(.*[_-])?(id|time|timestamp)", re.IGNORECASE)


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
            "type": ["number", "null"],
            "minimum": self.minimum,
            "maximum": self.maximum,
            "description": self.description,
        }

    def accepts(self, value: object) -> bool:
        """Whether it is such a number; true and false are none."""
        return type(value) in (int, float) and self.minimum <= value <= self.maximum  # type: ignore[operator]

    def read(self, text: str) -> object:
        """The number that a text says; another text as it is."""
        return float(text) if _NUMBER.fullmatch(text) else text


@dataclass(frozen=True)
class Flag:
    """True or false."""

    description: str
    default: bool = False
    form = "true or false"

    @property
    def schema(self) -> dict[str, Any]:
        """What a value must be, in JSON Schema."""
        return {"type": ["boolean", "null"], "description": self.description}

    def accepts(self, value: object) -> bool:
        """Whether it is one of the two."""
        return isinstance(value, bool)

    def read(self, text: str) -> object:
        """What a text says; another text as it is."""
        return _FLAGS.get(text.lower(), text)


Parameter = Number | Flag


def check_parameters(service: str, known: Mapping[str, Parameter], given: Mapping[str, Any]) -> None:
    """Check a request's parameters against the service's; None is absent.

    Raises:
        BadRequestError: one is not known, or not of the form that it takes.
    """
    for name, value in given.items():
        if name not in known:
            raise _unknown(service, known, name)
        if value is not None and not known[name].accepts(value):
            raise BadRequestError(f"{name} must be {known[name].form}")


def options_of_texts(service: str, known: Mapping[str, Parameter], texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Options that came as texts, in a query: by name, not yet checked.

    Raises:
        BadRequestError: one is not known, or came twice.
    """
    options: dict[str, Any] = {}
    for name, text in texts:
        if name not in known:
            raise _unknown(service, known, name)
        if name in options:
            raise BadRequestError(f"{name} is given twice")
        options[name] = known[name].read(text)
    return options


def options_beside_image(
    service: str, known: Mapping[str, Parameter], values: Mapping[str, Any], texts: Mapping[str, str]
) -> dict[str, Any]:
    """The options among what stands beside the instance on a legacy route: by name, not yet checked.

    Older clients send more than was read of them, such as a file's name or a button of their form. Ignored is what says
    nothing about how to answer: the names of a request (`id`, `user_id`, `timestamp`), and texts that are neither
    numbers nor named like an option. Null is absent.

    Args:
        service: names it in errors.
        known: its options.
        values: keys of a JSON body.
        texts: text fields of a form.

    Raises:
        BadRequestError: a field looks like an option that the service does not have.
    """
    for name, value in (*values.items(), *texts.items()):
        if name not in known and value is not None and not _is_descriptive(name, value):
            raise _unknown(service, known, name)
    return {name: value for name, value in values.items() if name in known} | {
        name: known[name].read(text) for name, text in texts.items() if name in known
    }


def _is_descriptive(name: str, value: object) -> bool:
    if _OPTION.search(name):
        return False
    if _NAME_OF_REQUEST.fullmatch(name):
        return isinstance(value, str | int | float)
    return isinstance(value, str) and not _NUMBER.fullmatch(value.strip()) and value.strip().lower() not in _FLAGS


def _unknown(service: str, known: Mapping[str, Parameter], name: str) -> BadRequestError:
    there_are = f"there are {', '.join(known)}" if known else "it has none"
    return BadRequestError(f"{service} has no parameter {name[:40]!r}: {there_are}")
