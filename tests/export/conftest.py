"""A maker's address and a package index, both on this machine."""

import importlib.util
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response
from wheels import write_wheel

from exporters import downloads

# A framework's tests run in its environment: `make test`, or .venv-torch/bin/python -P -m pytest tests/export/torch.
MODULES = {"torch": "torch", "tensorflow": "tensorflow", "quantise": "nncf"}
collect_ignore = [folder for folder, module in MODULES.items() if importlib.util.find_spec(module) is None]


@dataclass
class Maker:
    """An https server; it counts what it was asked for.

    Attributes:
        files: what it serves, by path.
        promised: bytes that it announces and does not send.
        pause_s: how long it waits after each byte.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    promised: int = 0
    pause_s: float = 0.0
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def maker(tmp_path_factory, monkeypatch) -> Iterator[Maker]:
    authority = trustme.CA()
    root = tmp_path_factory.mktemp("certificate") / "root.pem"
    authority.cert_pem.write_to_path(root)
    found = Maker(address="")

    def answer(request: Request) -> Response:
        found.asked.append(request.path)
        content, status = found.files.get(request.path, b""), 200 if request.path in found.files else 404
        length = {"Content-Length": str(len(content) + found.promised)}
        return Response(slowly(content) if found.pause_s else [content], status, length)

    def slowly(content: bytes) -> Iterator[bytes]:
        for byte in content:
            yield bytes([byte])
            time.sleep(found.pause_s)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    for name in ("PROBE_S", "_READ_S"):  # a busy machine takes its time for this server, too
        monkeypatch.setattr(downloads, name, 300.0)
    with HTTPServer("127.0.0.1", ssl_context=context, threaded=True) as server:
        server.expect_request(re.compile("/")).respond_with_handler(answer)
        found.address = server.url_for("").rstrip("/")
        yield found


@dataclass(frozen=True)
class Index:
    """A folder of packages that pip is told to take its packages from, by the user's own settings."""

    folder: Path

    def add_wheel(self, name: str, files: Mapping[str, bytes]) -> str:
        """Write a wheel of version 1.0. Returns the sha256 of the archive."""
        return write_wheel(self.folder, name, files)


@pytest.fixture
def index(tmp_path_factory, monkeypatch) -> Index:
    folder = tmp_path_factory.mktemp("index")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Index(folder)
