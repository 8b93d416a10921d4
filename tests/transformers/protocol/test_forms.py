"""Forms as clients really write them, by httpx and by hand, and those that are not one image."""

import asyncio

import httpx
import pytest
from starlette.requests import Request

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.forms import ImageForm, read_image_form

IMAGE = b"\xff\xd8\xff\r\n--not a boundary\x00"


def form(files, **more):
    request = httpx.Request("POST", "http://a/", files=files, **more)
    return request.read(), {"content-type": request.headers["content-type"]}


def read(body, headers):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return asyncio.run(read_image_form(Request({"type": "http", "method": "POST", "headers": encoded}, receive)))


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(("file", ("photo.jpg", IMAGE, "image/jpeg")), id="with a filename"),
        pytest.param(("image", ("photo.jpg", IMAGE)), id="in the field image"),
        pytest.param(("file", (None, IMAGE)), id="without a filename"),
        pytest.param(("file", (None, IMAGE, "application/octet-stream")), id="a type and no filename"),
        pytest.param(("file", ("", IMAGE)), id="an empty filename"),
        pytest.param(("file", ("größe.png", IMAGE)), id="a filename that is not ASCII"),
    ],
)
def test_the_image(file):
    assert read(*form([file])) == ImageForm(IMAGE)


def test_a_form_in_capitals_and_quotes():
    body, headers = form([("file", ("a.png", IMAGE))])
    boundary = headers["content-type"].partition("boundary=")[2]
    assert read(body, {"content-type": f'Multipart/Form-Data; Charset=utf-8; Boundary="{boundary}"'}).image == IMAGE


def test_a_large_image():
    assert read(*form([("file", ("a", IMAGE * 200_000))])).image == IMAGE * 200_000


def test_text_fields():
    body, headers = form([("file", ("a.png", IMAGE))], data={"id": "ü", "score_threshold": "0.5"})
    assert read(body, headers).texts == {"id": "ü", "score_threshold": "0.5"}


def test_a_file_field_in_which_nothing_was_chosen_is_no_second_file():
    assert read(*form([("file", ("a.png", IMAGE)), ("image", ("", b""))])).image == IMAGE


@pytest.mark.parametrize("encoding", ["binary", "8bit", "BASE64"])
def test_transfer_encodings_of_older_clients(encoding):
    content = IMAGE if encoding != "BASE64" else b"/9j/DQotLW5vdCBhIGJvdW5kYXJ5AA=="
    head = f'--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    body = head.encode() + content + b"\r\n--b--\r\n"
    assert read(body, {"content-type": "multipart/form-data; boundary=b"}).image == IMAGE


FILE = ("file", ("a.png", IMAGE))


@pytest.mark.parametrize(
    ("files", "data", "message"),
    [
        pytest.param([FILE, FILE], {}, "the form has 2 files", id="two in one field"),
        pytest.param([FILE, ("image", ("b.png", IMAGE))], {}, "the form has 2 files", id="one in each field"),
        pytest.param([FILE, ("mask", ("b.png", IMAGE))], {}, "a file in the field 'mask'", id="another field"),
        pytest.param([("photo", ("b.png", IMAGE))], {}, "a file in the field 'photo'", id="only another field"),
        pytest.param([("file", ("", b""))], {}, "has no file", id="nothing chosen"),
        pytest.param([("a", (None, b"1"))], {}, "has no file", id="no file"),
        pytest.param([FILE], {"a": ["1", "2"]}, "the field 'a' more than once", id="a field twice"),
        pytest.param([FILE, ("a", (None, b"\xff"))], {}, "not UTF-8", id="a text that is none"),
        pytest.param([FILE], {str(number): "" for number in range(20)}, "malformed", id="more than 20 parts"),
    ],
)
def test_forms_that_are_not_one_image(files, data, message):
    with pytest.raises(BadRequestError, match=message):
        read(*form(files, data=data))


@pytest.mark.parametrize(
    ("cut", "content_type", "message"),
    [
        pytest.param(slice(None, -6), None, "cut off", id="end cut off"),
        pytest.param(slice(0), None, "cut off", id="empty"),
        pytest.param(slice(5, None), None, "malformed", id="beginning cut off"),
        pytest.param(slice(None), "multipart/form-data", "malformed", id="no boundary"),
        pytest.param(slice(None), "multipart/form-data; charset=x; boundary=é", "malformed", id="another boundary"),
    ],
)
def test_damaged_forms(cut, content_type, message):
    body, headers = form([FILE])
    with pytest.raises(BadRequestError, match=message):
        read(body[cut], {"content-type": content_type or headers["content-type"]})
