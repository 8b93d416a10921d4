"""Base64 as it arrives in JSON: strict, but in the forms that browsers and other languages really send."""

import binascii
import re

import pybase64

from kserve_transformers.errors import BadRequestError

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)
_WHITESPACE = str.maketrans("", "", " \t\r\n\f\v")


def decode_base64(text: str) -> bytes:
    """Decode base64.

    Args:
        text: standard or URL-safe alphabet (not mixed), with or without padding, with or without white space, with or
            without a leading `data:...;base64,` in upper or lower case.

    Raises:
        BadRequestError: anything else.
    """
    if text[:64].lstrip()[:5].lower() == "data:":
        text = text.lstrip()
        match = _DATA_URL.match(text)
        if match is None:
            raise BadRequestError("the data: URL is not base64: write data:image/jpeg;base64,...")
        text = text[match.end() :]
    if not text.isascii():
        raise BadRequestError("the base64 text has characters outside its alphabet")
    if any(white in text for white in "\n\r \t\f\v"):
        text = text.translate(_WHITESPACE)
    if text[-1:] != "=":
        text += "=" * (-len(text) % 4)
    url_safe = "-" in text or "_" in text
    if url_safe and ("+" in text or "/" in text):
        raise BadRequestError("the base64 text mixes the standard and the URL-safe alphabet")
    try:
        return pybase64.b64decode(text, altchars="-_" if url_safe else None, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequestError(
            "the base64 text is damaged: it has characters outside its alphabet or wrong padding"
        ) from None
