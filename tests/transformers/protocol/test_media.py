"""Which body is read as what."""

import pytest

from kserve_transformers.errors import UnsupportedMediaError
from kserve_transformers.protocol.media import Body, declared_body, seen_body

ALL, JSON = tuple(Body), (Body.JSON,)


@pytest.mark.parametrize(
    ("content_type", "taken", "kind"),
    [
        pytest.param("application/json; charset=utf-8", ALL, Body.JSON, id="json with a charset"),
        pytest.param("application/cloudevents+json", ALL, Body.JSON, id="a kind of json"),
        pytest.param("IMAGE/JPEG", ALL, Body.IMAGE, id="upper case"),
        pytest.param("multipart/form-data; boundary=x", ALL, Body.FORM, id="a form"),
        pytest.param(None, ALL, None, id="none: the body tells"),
        pytest.param("application/x-www-form-urlencoded", ALL, None, id="what curl says of --data"),
        pytest.param("application/x-www-form-urlencoded", JSON, Body.JSON, id="curl's, where only JSON is read"),
        pytest.param("application/octet-stream", JSON, Body.JSON, id="the binary form of V2"),
    ],
)
def test_the_kind_of_a_body(content_type, taken, kind):
    assert declared_body({} if content_type is None else {"content-type": content_type}, taken) is kind


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        pytest.param({"content-type": "text/html"}, ALL, id="html"),
        pytest.param({"content-type": "application/xml"}, ALL, id="xml"),
        pytest.param({"content-type": "image/png"}, JSON, id="an image where JSON is read"),
    ],
)
def test_others_are_refused(headers, taken):
    with pytest.raises(UnsupportedMediaError, match="send"):
        declared_body(headers, taken)


@pytest.mark.parametrize("body", [b'{"a":1}', b" \n[1]"])
def test_json_is_seen(body):
    assert seen_body(body) is Body.JSON


@pytest.mark.parametrize("body", [b"", b"\xff\xd8\xff", b"BM", b"GIF8"])
def test_everything_else_is_taken_for_an_image(body):
    assert seen_body(body) is Body.IMAGE
