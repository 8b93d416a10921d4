"""What browsers get: the page on which services can be tried, at / and /SERVICE/, and the API reference at /docs."""

import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kserve_transformers.arrays.images.formats import media_types
from kserve_transformers.service import Services
from kserve_transformers.settings import Limits

FOLDER = Path(__file__).parents[1] / "page"
_REFERENCE = FOLDER.parent / "reference"
_SWAGGER_UI = "drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist"
_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing is loaded from elsewhere, and no script or style stands in the markup.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # kept, but revalidated: a new server's page is never half an old one's
}
_VARY = {"Vary": "Accept"}


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    etag: str


class Page:
    """ASGI middleware that answers browsers with the pages, and passes on all other requests.

    The page names its files relative to its own address, so that it works behind a gateway that passes on /SERVICE/
    alone.

    Args:
        app: what answers all other requests.
        services: what the server hosts.
        limits: of a request.
    """

    def __init__(self, app: ASGIApp, services: Services, limits: Limits) -> None:
        self._app = app
        values = {
            "settings": orjson.dumps(_settings(services, limits)).decode(),
            "image_types": ",".join(media_types(limits.refused_formats)),
        }
        files = {path.name: _read(path, values) for path in FOLDER.iterdir() if path.suffix in _TYPES}
        self._index = files.pop(_INDEX)
        self._addresses = {"/", *(f"/{name}/" for name in services)}
        self._files = {f"{address}page/{name}": file for address in self._addresses for name, file in files.items()}
        self._files |= _reference()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a browser, or pass the request on."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        file = self._files.get(scope["path"])
        if file is not None:
            await _respond(file, headers, {})(scope, receive, send)
        elif not {scope["path"], f"{scope['path']}/"} & self._addresses:
            await self._app(scope, receive, send)
        elif "text/html" not in headers.get("accept", ""):
            await self._app(scope, receive, _varying(send))
        elif scope["path"] in self._addresses:
            await _respond(self._index, headers, _VARY)(scope, receive, send)
        else:  # the last slash was left out
            await Response(status_code=307, headers={"Location": f"{scope['path']}/", **_VARY})(scope, receive, send)


def _read(path: Path, values: Mapping[str, str]) -> _File:
    content = path.read_bytes()
    if path.name == _INDEX:
        for name, value in values.items():
            content = content.replace(f"{{{{{name}}}}}".encode(), html.escape(value).encode())
    return _File(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _reference() -> dict[str, _File]:
    """The API reference: Swagger UI, as its package brings it, on /openapi.json."""
    swagger_ui = Path(str(distribution("drf-spectacular-sidecar").locate_file(_SWAGGER_UI)))
    folders = {"swagger-ui.css": swagger_ui, "swagger-ui-bundle.js": swagger_ui, "start.js": _REFERENCE}
    files = {f"/docs/{name}": _read(folder / name, {}) for name, folder in folders.items()}
    return files | dict.fromkeys(("/docs", "/docs/"), _read(_REFERENCE / _INDEX, {}))


def _settings(services: Services, limits: Limits) -> dict[str, Any]:
    """What the page must know of the server."""
    return {
        "services": [
            {
                "name": name,
                "view": service.spec.presentation or service.spec.task,
                "outputs": list(service.task.output_types()),
                "defaults": service.task.defaults,
            }
            for name, service in services.items()
        ],
        "maxBodyBytes": limits.body_bytes,
        "maxInstances": limits.instances,
    }


def _respond(file: _File, headers_in: Headers, extra: Mapping[str, str]) -> Response:
    headers = {**_HEADERS, "ETag": file.etag, **extra}
    if file.etag in headers_in.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _varying(send: Send) -> Send:
    """Tell caches that the answer at this address depends on what the caller accepts."""

    async def varying(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("Accept")
        await send(message)

    return varying
