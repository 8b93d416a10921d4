"""Base64: strict, in the forms that are really sent."""

import base64

import pytest

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.base64 import decode_base64

DATA = bytes(range(256)) * 3 + b"\xfb\xff"
STANDARD = base64.b64encode(DATA).decode()
URL_SAFE = base64.urlsafe_b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(STANDARD, id="standard"),
        pytest.param(URL_SAFE, id="url-safe"),
        pytest.param(STANDARD.rstrip("="), id="standard without padding"),
        pytest.param(URL_SAFE.rstrip("="), id="url-safe without padding"),
        pytest.param(base64.encodebytes(DATA).decode(), id="line breaks"),
        pytest.param(STANDARD.replace("A", "A\r\n", 3), id="windows line breaks"),
        pytest.param(base64.encodebytes(DATA).decode().rstrip("=\n"), id="MIME without padding"),
        pytest.param(" \r\n\t" + STANDARD, id="leading white space"),
        pytest.param("data:image/png;base64," + STANDARD, id="data url"),
        pytest.param("DATA:IMAGE/PNG;BASE64," + STANDARD, id="data url in capitals"),
        pytest.param("\n data:image/png;base64,\n" + STANDARD, id="white space around a data url"),
        pytest.param("data:image/svg+xml;charset=utf-8;base64," + STANDARD, id="data url with parameters"),
    ],
)
def test_understood(text):
    assert decode_base64(text) == DATA


def test_nothing_is_nothing():
    assert decode_base64("") == b""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("QQ=", id="half of the padding"),
        pytest.param(STANDARD + "=", id="too much padding"),
        pytest.param("AAA*AAAA", id="outside the alphabet"),
        pytest.param("AAAä", id="not ascii"),
        pytest.param("A", id="one character"),
        pytest.param("AA==AAAA", id="padding in the middle"),
        pytest.param("AA+/AA-_", id="mixed alphabets"),
        pytest.param("data:image/png," + STANDARD, id="data url that is not base64"),
        pytest.param("data:image/png;base64", id="data url without data"),
    ],
)
def test_refused(text):
    with pytest.raises(BadRequestError):
        decode_base64(text)
