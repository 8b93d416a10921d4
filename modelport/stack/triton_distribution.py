"""Lays out a real Triton from PyPI in build/triton/: the server, its libraries, the Python backend and our backends."""

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from modelport.environment import ROOT, locked, say
from modelport.environment.packages import pip

BACKENDS = ROOT / "triton" / "backends"
TRITON = ROOT / "build" / "triton"
PYTHON = "{}.{}".format(*sys.version_info)
# wheel folder -> folder in build/triton; of the stubs only the one for this Python
MEMBERS = {
    "pytriton/tritonserver/bin/": "bin/",
    "pytriton/tritonserver/backends/python/": "backends/python/",
    f"pytriton/tritonserver/python_backend_stubs/{PYTHON}/": "backends/python/",
    "nvidia_pytriton.libs/": "libraries/",
}
EXECUTABLES = ("bin/tritonserver", "backends/python/triton_python_backend_stub")


@dataclass(frozen=True)
class Distribution:
    """Where the parts of a laid-out Triton are."""

    folder: Path

    @property
    def server(self) -> Path:
        return self.folder / "bin" / "tritonserver"

    @property
    def libraries(self) -> Path:
        return self.folder / "libraries"

    @property
    def backends(self) -> Path:
        return self.folder / "backends"


def lay_out() -> Distribution:
    """Fetch and unpack Triton unless build/triton/ already is what the requirement file and our backends ask for.

    Raises:
        SetupError: pip could not fetch the wheel.
    """
    stamp = TRITON / "stamp"
    wanted = _fingerprint()
    with locked():
        if stamp.is_file() and stamp.read_text() == wanted:
            return Distribution(TRITON)
        with tempfile.TemporaryDirectory(prefix="triton.", dir=TRITON.parent) as scratch:
            say("setup: laying out Triton in build/triton/ (55 MB to fetch)")
            fresh = Path(scratch) / "fresh"
            _unpack(_fetch(Path(scratch)), fresh)
            _link_backends(fresh / "backends")
            (fresh / "stamp").write_text(wanted)
            if TRITON.exists():
                TRITON.rename(Path(scratch) / "old")
            fresh.rename(TRITON)
    return Distribution(TRITON)


def _fingerprint() -> str:
    parts = [(ROOT / "requirements" / "triton.txt").read_bytes(), Path(__file__).read_bytes(), PYTHON.encode()]
    parts += [str(path.relative_to(BACKENDS)).encode() for path in (*_our_backends(), *_shared_modules())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _fetch(scratch: Path) -> Path:
    pip("download", "triton.txt", "--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={scratch}")
    return next(scratch.glob("*.whl"))


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            for folder, place in MEMBERS.items():
                if member.filename.startswith(folder) and not member.is_dir():
                    path = target / place / member.filename.removeprefix(folder)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, path.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
    for name in EXECUTABLES:
        (target / name).chmod(0o755)


def _our_backends() -> list[Path]:
    return sorted(path.parent for path in BACKENDS.glob("*/model.py"))


def _shared_modules() -> list[Path]:
    return sorted(BACKENDS.glob("*.py"))


def _link_backends(backends: Path) -> None:
    """Our backends are links, so that a change in triton/backends/ needs no new layout."""
    place = TRITON / "backends"
    for backend in _our_backends():
        (backends / backend.name).symlink_to(os.path.relpath(backend, place), target_is_directory=True)
    for module in _shared_modules():  # a stub has backends/python in its sys.path
        (backends / "python" / module.name).symlink_to(os.path.relpath(module, place / "python"))
