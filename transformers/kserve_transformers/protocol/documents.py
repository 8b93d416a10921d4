"""Parses JSON bodies, and refuses those with unknown keys, or far more values than any request needs."""

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from kserve_transformers.errors import BadRequestError, TooLargeError

# Base64 and numbers hold none of these characters. Two bytes of a body become a list of at least 64 bytes, and the
# event loop waits for the parser: a body full of empty lists would block it for seconds and take thirty
# times its own size.
MAX_CONTAINERS = 10_000
MAX_VALUES = 1_000_000


def load_json(body: bytes) -> Any:
    """Parse a JSON body.

    Raises:
        TooLargeError: more lists, objects or values than any request needs.
        BadRequestError: not JSON.
    """
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS or body.count(b",") > MAX_VALUES:
        raise TooLargeError(f"the JSON has more than {MAX_CONTAINERS} lists and objects, or {MAX_VALUES} values")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequestError(f"the body is not JSON ({exc})") from None


def check_keys(document: Mapping[str, Any], known: Collection[str], place: str) -> None:
    """Check that an object has no other keys.

    Args:
        document: the object.
        known: its possible keys.
        place: names it in errors: "the body".

    Raises:
        BadRequestError: it has another key.
    """
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise BadRequestError(
            f'unknown key {unknown[0][:40]!r} in {place}: there are {", ".join(known)}; options go into "parameters"'
        )
