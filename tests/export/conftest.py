"""A maker's address and a package index, both on this machine."""

import base64
import hashlib
import http.server
import importlib.util
import io
import ssl
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

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
def maker(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    authority = trustme.CA()
    root = tmp_path_factory.mktemp("certificate") / "root.pem"
    authority.cert_pem.write_to_path(root)
    found = Maker(address="")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            content = found.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"") + found.promised))
            self.end_headers()
            if not found.pause_s:
                self.wfile.write(content or b"")
                return
            for byte in content or b"":
                self.wfile.write(bytes([byte]))
                time.sleep(found.pause_s)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *arguments: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    for name in ("PROBE_S", "_READ_S"):  # a busy machine takes its time for this server, too
        monkeypatch.setattr(downloads, name, 300.0)
    found.address = f"https://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Index:
    """A folder of packages that pip is told to take its packages from, by the user's own settings."""

    folder: Path

    def add_wheel(self, name: str, files: Mapping[str, bytes]) -> str:
        """Build a wheel of version 1.0. Returns the sha256 of the archive."""
        info = f"{name}-1.0.dist-info"
        files = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        digests = {path: base64.urlsafe_b64encode(hashlib.sha256(content).digest()) for path, content in files.items()}
        record = "".join(f"{path},sha256={digest.decode().rstrip('=')},\n" for path, digest in digests.items())
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as package:
            for path, content in {**files, f"{info}/RECORD": record.encode()}.items():
                package.writestr(path, content)
        (self.folder / f"{name}-1.0-py3-none-any.whl").write_bytes(archive.getvalue())
        return hashlib.sha256(archive.getvalue()).hexdigest()


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder = tmp_path_factory.mktemp("index")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Index(folder)
