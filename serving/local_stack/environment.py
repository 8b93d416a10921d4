"""Makes .venv and installs the pinned requirements, run by the system's Python as a script.

Standard library only, and syntax that old Pythons can read up to the line that turns them away. A second call finds
its stamp and costs nothing. Every failure is one line that says what to do.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOG = ROOT / "build" / "logs" / "setup.log"
SUPPORTED = ((3, 11), (3, 12), (3, 13))
HASHED = ("--require-hashes", "--only-binary=:all:")
STEPS = (
    ("transformers.txt", HASHED),
    ("models.txt", HASHED),
    ("torch.txt", ("--prefer-binary",)),
    ("extras.txt", (*HASHED, "--no-deps")),
)
DEVELOPMENT_STEPS = tuple((f"{name}.txt", HASHED) for name in ("dev", "manifests", "releases", "bench"))
NO_NETWORK = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Network is unreachable"
    "|Temporary failure in name resolution|Connection refused|Max retries exceeded"
)


class SetupError(Exception):
    """Set-up cannot go on; the message is the one line that a person reads."""


def say(text: str, end: str = "\n", error: bool = False) -> None:
    """Tell the person at the terminal."""
    print(text, end=end, flush=True, file=sys.stderr if error else sys.stdout)


def shared_library() -> Path | None:
    """Path of this Python's libpython, which Triton's stubs load, or None when this Python was built without it."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    folders = (sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib"))  # noqa: PTH118 (old Pythons)
    return next((Path(folder) / name for folder in folders if folder and (Path(folder) / name).is_file()), None)


def unfitness() -> str | None:
    """Why this machine or this Python cannot run the stack and what to do about it, in one line; None when it can."""
    version = "{}.{}".format(*sys.version_info)
    choose = "or name another Python: make serve PYTHON=/path/to/python3"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        found = f"{sys.platform} on {platform.machine()}"
        return f"Triton's build needs Linux on x86_64, this is {found}: use such a machine"
    libc, _, libc_version = (os.confstr("CS_GNU_LIBC_VERSION") or "another C library").partition(" ")
    if libc != "glibc" or tuple(int(part) for part in libc_version.split(".")[:2]) < (2, 35):
        found = f"{libc} {libc_version}".strip()
        return f"Triton's build needs glibc 2.35 (Debian 12, Ubuntu 22.04) or newer, this is {found}: use a newer one"
    if sys.version_info[:2] not in SUPPORTED:
        return f"Python 3.11, 3.12 or 3.13 is needed, {sys.executable} is {version}: install one, {choose}"
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        return f"{sys.executable} has no venv module: sudo apt install python{version}-venv, {choose}"
    if shared_library() is None:
        return (
            f"{sys.executable} has no shared library (libpython{version}.so.1.0), which Triton needs: sudo apt install "
            f"libpython{version}, with pyenv build it with PYTHON_CONFIGURE_OPTS=--enable-shared, {choose}"
        )
    return None


def other_python() -> str | None:
    """A Python in PATH that fits, newest first."""
    for minor in sorted(SUPPORTED, reverse=True):
        python = shutil.which("python{}.{}".format(*minor))
        if python and subprocess.run([python, __file__, "--probe"], capture_output=True, check=False).returncode == 0:
            return python
    return None


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One set-up at a time in this checkout."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def venv_version() -> str | None:
    """Version of the Python in .venv; None where it is missing or no longer runs."""
    with contextlib.suppress(OSError):
        run = subprocess.run(
            [str(VENV / "bin" / "python"), "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode == 0:
            return run.stdout.strip()
    return None


def make_venv() -> str:
    """Make .venv anew with this Python; returns its version."""
    reason = unfitness()
    if reason:
        raise SetupError(reason)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
    )
    version = venv_version()
    if version is None:
        lines = (made.stdout + made.stderr).strip().splitlines() or ["no message"]
        raise SetupError(f"python -m venv {VENV} failed: {lines[-1]}")
    return version


def pip(subcommand: str, name: str, *options: str) -> None:
    """Run a pip command over requirements/NAME; what it says goes to build/logs/setup.log, live on a terminal too."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", subcommand, "--no-input", "--disable-pip-version-check"]
    command += ["--retries=2", "--progress-bar=off", *options, "-r", str(ROOT / "requirements" / name)]
    lines: list[str] = []
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                log.write(line)
                lines.append(line.rstrip())
                if sys.stdout.isatty():
                    width = shutil.get_terminal_size().columns - 1
                    say(f"\r\x1b[K{f'setup: {name}: {lines[-1].strip()}'[:width]}", end="")
    if sys.stdout.isatty():
        say("\r\x1b[K", end="")
    if process.returncode:
        raise SetupError(pip_failure(name, lines))


def pip_failure(name: str, lines: list[str]) -> str:
    """One line for what pip said at length."""
    where = f"(all of it: {LOG.relative_to(ROOT)})"
    if any(NO_NETWORK.search(line) for line in lines):
        return f"no network: pip cannot reach its package index; connect, or set PIP_INDEX_URL, and run again {where}"
    if any("No space left on device" in line for line in lines):
        return f"the disk is full: .venv needs 3 GB (with CUDA 7 GB), make room and run again {where}"
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:] or ["no message"]
    return f"pip failed on requirements/{name}: {errors[0].removeprefix('ERROR: ')} {where}"


def set_up(development: bool) -> None:
    """Bring .venv to the state that the requirement files describe."""
    version = venv_version()
    if version is None or tuple(map(int, version.split(".")[:2])) not in SUPPORTED:
        say("setup: making .venv and installing packages; this takes minutes, once")
        version = make_venv()
    stamp = VENV / "modelport.json"
    try:
        installed = json.loads(stamp.read_text())
    except (OSError, ValueError):
        installed = {}
    for name, options in STEPS + (DEVELOPMENT_STEPS if development else ()):
        digest = hashlib.sha256((ROOT / "requirements" / name).read_bytes() + version.encode()).hexdigest()
        if installed.get(name) == digest:
            continue
        started = time.monotonic()
        pip("install", name, *options)
        say(f"setup: {name} installed in {time.monotonic() - started:.0f} s")
        installed[name] = digest
        temporary = stamp.with_suffix(".new")
        temporary.write_text(json.dumps(installed))
        temporary.replace(stamp)


def main(argv: list[str] | None = None) -> int:
    """Run set-up; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make .venv and install the pinned requirements.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--probe", action="store_true", help="only say whether this Python fits")
    arguments = parser.parse_args(argv)
    reason = unfitness()
    if arguments.probe:
        say(reason or "fits")
        return 1 if reason else 0
    if reason and venv_version() is None:
        python = other_python()
        if python:
            os.execv(python, [python, *sys.argv])  # noqa: S606 (replaces this process on purpose)
    try:
        with locked():
            set_up(arguments.dev)
    except SetupError as error:
        say(f"setup: {error}", error=True)
        return 1
    except KeyboardInterrupt:
        say("setup: interrupted; run again to go on", error=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
