"""Reads one image from the bodies that browsers, curl and scripts send: a form, JSON, or the image's own bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.media import Body, declared_body, seen_body
from kserve_transformers.protocol.requests import image_from_json
from kserve_transformers.protocol.v1 import parse_json

FIELDS = ("file", "image")


@dataclass(frozen=True)
class ImageForm:
    """An image, and what came beside it in a JSON body."""

    image: bytes
    extra: dict[str, Any] = field(default_factory=dict)


async def read_image_form(request: Request) -> ImageForm:
    """Read an image from a request's body.

    Taken are multipart/form-data with a file in the field `file` or `image`, JSON {"image": base64, ...}, and
    the image's own bytes.

    Raises:
        BadRequestError: the form or the JSON is malformed, or has no image.
        UnsupportedMediaError: another content type.
    """
    declared = declared_body(request.headers, tuple(Body))
    if declared is Body.FORM:
        return ImageForm(await _from_multipart(request))
    body = await request.body()
    if (declared or seen_body(body)) is Body.IMAGE:
        return ImageForm(body)
    document = parse_json(body)
    if not isinstance(document, dict) or "image" not in document:
        raise BadRequestError('the body must be {"image": "<base64>"}')
    extra = {key: value for key, value in document.items() if key != "image"}
    return ImageForm(image_from_json(document["image"]), extra)


async def _from_multipart(request: Request) -> bytes:
    try:
        async with request.form(max_files=4, max_fields=16) as form:
            for name in FIELDS:
                upload = form.get(name)
                if isinstance(upload, UploadFile):
                    return await upload.read()
    except (MultipartParseError, HTTPException, KeyError, UnicodeError) as exc:  # the last: charset=undefined
        raise BadRequestError("the form is malformed: send multipart/form-data with the image in `file`") from exc
    raise BadRequestError("the form has no file in the field `file`: curl sends one with -F file=@photo.jpg")
