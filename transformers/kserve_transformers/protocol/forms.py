"""Reads one image from the bodies that browsers, curl and scripts send: a form, JSON, or the image's own bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser, parse_options_header
from starlette.requests import Request

from kserve_transformers.errors import BadRequestError
from kserve_transformers.protocol.media import Body, declared_body, seen_body
from kserve_transformers.protocol.requests import image_from_json
from kserve_transformers.protocol.v1 import parse_json

FIELDS = ("file", "image")
_MAX_PARTS = 20
_MALFORMED = "the form is malformed: send multipart/form-data with the image in `file`"


@dataclass(frozen=True)
class ImageForm:
    """An image, and what came beside it.

    `values` are the other keys of a JSON body, `texts` the text fields of a form.
    """

    image: bytes
    values: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    name: str
    filename: bytes | None
    content: bytes


async def read_image_form(request: Request) -> ImageForm:
    """Read an image from a request's body.

    Taken are multipart/form-data with the image in the field `file` or `image`, with or without a filename, JSON
    {"image": base64, ...}, and the image's own bytes.

    Raises:
        BadRequestError: the form or the JSON is malformed, or does not have exactly one image.
        UnsupportedMediaError: another content type.
    """
    declared = declared_body(request.headers, tuple(Body))
    if declared is Body.FORM and b"boundary" not in parse_options_header(request.headers["content-type"])[1]:
        raise BadRequestError(_MALFORMED)  # before the body is read
    body = await request.body()
    if declared is Body.FORM:
        return _from_parts(_parse_parts(body, request.headers["content-type"]))
    if (declared or seen_body(body)) is Body.IMAGE:
        return ImageForm(body)
    document = parse_json(body)
    if not isinstance(document, dict) or document.get("image") is None:
        raise BadRequestError('the body must be {"image": "<base64>"}')
    return ImageForm(image_from_json(document["image"]), {k: v for k, v in document.items() if k != "image"})


def _from_parts(parts: list[_Part]) -> ImageForm:
    # browsers send an empty part for a file field in which nothing was chosen
    files = [p for p in parts if p.filename or (p.content and (p.filename is not None or p.name in FIELDS))]
    texts = [part for part in parts if part.filename is None and part.name not in FIELDS]
    strange = [part.name for part in files if part.name not in FIELDS]
    if strange:
        raise BadRequestError(
            f"the form has a file in the field {strange[0][:40]!r}: send the image in the field `file`"
        )
    if not files:
        raise BadRequestError("the form has no file in the field `file`: curl sends one with -F file=@photo.jpg")
    if len(files) > 1:
        raise BadRequestError(f"the form has {len(files)} files: send one image a request, or several by V1 or V2")
    names = [part.name for part in texts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequestError(f"the form has the field {twice[:40]!r} more than once")
    try:
        return ImageForm(files[0].content, texts={part.name: part.content.decode() for part in texts})
    except UnicodeDecodeError:
        raise BadRequestError("a text field of the form is not UTF-8") from None


def _parse_parts(body: bytes, content_type: str) -> list[_Part]:
    parts: list[_Part] = []
    ended = False

    def keep(name: bytes | None, filename: bytes | None, content: bytes) -> None:
        if len(parts) == _MAX_PARTS:
            raise FormParserError("too many parts")
        parts.append(_Part((name or b"").decode("utf-8", "replace"), filename, content))

    def on_field(one: Field) -> None:
        keep(one.field_name, None, one.value or b"")

    def on_file(one: File) -> None:
        one.file_object.seek(0)
        keep(one.field_name, one.file_name or b"", one.file_object.read())
        one.close()

    def on_end() -> None:
        nonlocal ended
        ended = True

    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")}, on_field, on_file, {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
        )
        parser.on_end = on_end
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as exc:
        raise BadRequestError(_MALFORMED) from exc
    if not ended:
        raise BadRequestError("the form is cut off: its last boundary is missing")
    return parts
