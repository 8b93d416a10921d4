"""JSON bodies: parsed where they are JSON of a sane structure."""

from __future__ import annotations

from typing import Any

import orjson

from kserve_transformers.errors import BadRequestError, TooLargeError

# Base64 and numbers hold none of these characters. Each list is 64 bytes and more for two in the body, and the parser
# holds the event loop: 20 MB of empty lists took 4.5 s and 600 MB.
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
