"""What kind of body a request has: its content type says it, or its first byte where the caller named no type."""

from collections.abc import Collection, Mapping
from enum import Enum

from kserve_transformers.errors import UnsupportedMediaError


class Body(Enum):
    """The kinds of body, and how an error names them."""

    JSON = "JSON (application/json)"
    IMAGE = "the image's own bytes (image/*)"
    FORM = "multipart/form-data with the image in `file`"


# What clients send whose users named no type: none, curl's, fetch's; and the one that says no more than "bytes".
_UNSAID = ("", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream")


def declared_body(headers: Mapping[str, str], taken: Collection[Body]) -> Body | None:
    """The kind of a request's body by its headers; None where only the body can tell.

    Args:
        headers: of the request, names in lower case.
        taken: the kinds that the route reads.

    Raises:
        UnsupportedMediaError: another kind.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in _UNSAID:
        return None if len(taken) > 1 else next(iter(taken))
    kind = _kind(media_type)
    if kind not in taken:
        raise UnsupportedMediaError(f"send {', or '.join(one.value for one in taken)}")
    return kind


def seen_body(body: bytes) -> Body:
    """The kind of a body by its first byte: an image begins with none of JSON's."""
    return Body.JSON if body[:64].lstrip()[:1] in (b"{", b"[") else Body.IMAGE


def _kind(media_type: str) -> Body | None:
    if media_type == "multipart/form-data":
        return Body.FORM
    if media_type.startswith("image/"):
        return Body.IMAGE
    return Body.JSON if media_type.endswith("json") else None
