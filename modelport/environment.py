"""Makes the Python environments and installs the pinned requirements; the system's Python runs it as a script.

.venv serves and runs the commands. .venv-torch and .venv-tensorflow are layers on it, one for each framework: they see
its packages, and it sees none of theirs. TensorFlow and PyTorch never share a process, and what only serves installs
neither. Each command names what it needs (`ensure`); a second call finds a stamp and costs nothing.

Standard library only, and syntax that old Pythons can read up to the line that turns them away. Every failure is one
line that says what to do.
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
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
PROJECT_FILE = "pyproject.toml"
LOG = ROOT / "build" / "logs" / "setup.log"
SUPPORTED = ((3, 11), (3, 12), (3, 13))
HASHED = ("--require-hashes", "--only-binary=:all:")
UNRESOLVED = ("--no-deps",)
# PyTorch's own builds for processors. PyPI has only the build for CUDA, ten times as large.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_CPU_INDEX_TIMEOUT_S = 2.0
NO_NETWORK = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Network is unreachable"
    "|Temporary failure in name resolution|Connection refused|Max retries exceeded"
)


class SetupError(Exception):
    """Set-up cannot go on; the message is the one line that a person reads."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in the checkout; a layer on another one where it names a base."""

    folder: Path
    disk: str
    base: Environment | None = None

    @property
    def python(self) -> Path:
        """Its interpreter, whether it has been made or not."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Which steps have been carried out, each with the digest of what it installed."""
        return self.folder / "modelport.json"


BASE = Environment(ROOT / ".venv", disk="2 GB")
TORCH = Environment(ROOT / ".venv-torch", disk="1 GB (for CUDA 4 GB)", base=BASE)
TENSORFLOW = Environment(ROOT / ".venv-tensorflow", disk="2 GB", base=BASE)
FRAMEWORKS: Mapping[str, Environment] = {"torch": TORCH, "tensorflow": TENSORFLOW}


@dataclass(frozen=True)
class Step:
    """One installation: a requirement file with pip's options, or what a function installs, said to depend on files."""

    environment: Environment
    file: str
    options: tuple[str, ...] = HASHED
    install: Callable[[Environment], None] | None = None

    def digest(self, python_version: str) -> str:
        """Changes whenever the step has to be carried out again."""
        own = ROOT / self.file if self.file == PROJECT_FILE else REQUIREMENTS / self.file
        place = str(ROOT) if self.file == PROJECT_FILE else ""
        return hashlib.sha256(own.read_bytes() + place.encode() + python_version.encode()).hexdigest()


def _install_project(environment: Environment) -> None:
    """`pip install -e .`: our three packages are importable and `modelport` is a command."""
    pip("install", None, "--no-deps", "--no-build-isolation", "--editable", str(ROOT), environment=environment)


def _install_torch(environment: Environment) -> None:
    """PyTorch's build for processors where its index answers, else what the configured package index has."""
    options = ["--no-deps", "--upgrade"]
    from_pytorch = _answers(TORCH_CPU_INDEX + "/torch/")
    if from_pytorch:
        options.append(f"--index-url={TORCH_CPU_INDEX}")
    pip("install", "torch-build.txt", *options, environment=environment)
    where = "PyTorch's own index" if from_pytorch else "your package index (PyTorch's own did not answer)"
    if not any(environment.folder.glob("lib/python*/site-packages/torch/lib/libtorch_cuda.so")):
        say(f"setup: torch is the build for processors, from {where}")
        return
    say(f"setup: torch is the build for CUDA, from {where}: its libraries are another 1.9 GB to fetch")
    pip("install", "torch-cuda.txt", *HASHED, *UNRESOLVED, environment=environment)


# What a command can need, by name: see the table of commands in modelport/cli.py.
NEEDS: Mapping[str, tuple[Step, ...]] = {
    "serve": (
        Step(BASE, "transformers.txt"),
        Step(BASE, "serve.txt"),
        Step(BASE, "openvino.txt", (*HASHED, *UNRESOLVED)),
        Step(BASE, PROJECT_FILE, install=_install_project),
    ),
    "manifests": (Step(BASE, "manifests.txt"),),
    "client": (Step(BASE, "client.txt"),),
    "releases": (Step(BASE, "releases.txt"),),
    "bench": (Step(BASE, "bench.txt"),),
    "test": (Step(BASE, "dev.txt"),),
    "torch": (
        Step(TORCH, "torch.txt"),
        Step(TORCH, "torchvision.txt", (*HASHED, *UNRESOLVED)),
        Step(TORCH, "torch-build.txt", install=_install_torch),
    ),
    "tensorflow": (Step(TENSORFLOW, "tensorflow.txt"),),
}


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


def version_of(environment: Environment) -> str:
    """Version of the Python in an environment; empty where it is missing or no longer runs."""
    with contextlib.suppress(OSError):
        run = subprocess.run(
            [str(environment.python), "-ISc", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode == 0:
            return run.stdout.strip()
    return ""


def installed_version(package: str) -> str:
    """Version of a package in this environment or in a framework's; "none" where it is in neither."""
    import importlib.metadata  # missing in the oldest Pythons, which are only told what is needed

    layers = [folder for layer in FRAMEWORKS.values() for folder in layer.folder.glob("lib/python*/site-packages")]
    found = importlib.metadata.distributions(name=package, path=[*sys.path, *map(str, layers)])
    return next((distribution.version for distribution in found), "none")


def make_base() -> None:
    """Make .venv anew with this Python.

    Raises:
        SetupError: this Python does not fit, or could not do it.
    """
    reason = unfitness()
    if reason:
        raise SetupError(reason)
    say("setup: making .venv and installing packages; this takes minutes, once")
    _make_venv(sys.executable, BASE)


def make_layer(environment: Environment, base: Environment) -> None:
    """Make a framework's environment anew: a virtual environment that sees the base's packages behind its own."""
    _make_venv(str(base.python), environment, "--without-pip")
    (packages,) = environment.folder.glob("lib/python*/site-packages")
    (seen,) = base.folder.glob("lib/python*/site-packages")
    (packages / "modelport-base.pth").write_text(f"import site; site.addsitedir({str(seen)!r})\n", encoding="utf-8")


def _make_venv(python: str, environment: Environment, *options: str) -> None:
    command = [python, "-m", "venv", "--clear", *options, str(environment.folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if not version_of(environment):
        lines = (made.stdout + made.stderr).strip().splitlines() or ["no message"]
        raise SetupError(f"python -m venv {environment.folder} failed: {lines[-1]}")


def pip(subcommand: str, name: str | None, *options: str, environment: Environment = BASE) -> None:
    """Run a pip command, over requirements/NAME where a name is given.

    What pip says goes to build/logs/setup.log, and live to a terminal.

    Raises:
        SetupError: pip failed; the message is one line.
    """
    command = [str(environment.python), "-m", "pip", subcommand, "--no-input", "--disable-pip-version-check"]
    command += ["--retries=2", "--progress-bar=off", *options]
    command += ["-r", str(REQUIREMENTS / name)] if name else []
    what = f"requirements/{name}" if name else "this project"
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
                    say(f"\r\x1b[K{f'setup: {what}: {lines[-1].strip()}'[:width]}", end="")
    if sys.stdout.isatty():
        say("\r\x1b[K", end="")
    if process.returncode:
        raise SetupError(pip_failure(what, lines, environment))


def pip_failure(what: str, lines: list[str], environment: Environment) -> str:
    """One line for what pip said at length."""
    where = f"(all of it: {LOG.relative_to(ROOT)})"
    if any(NO_NETWORK.search(line) for line in lines):
        return f"no network: pip cannot reach its package index; connect, or set PIP_INDEX_URL, and run again {where}"
    if any("No space left on device" in line for line in lines):
        needed = f"{environment.folder.name} needs {environment.disk}"
        return f"the disk is full: {needed}, make room and run again {where}"
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:] or ["no message"]
    return f"pip failed on {what}: {errors[0].removeprefix('ERROR: ')} {where}"


def _answers(address: str) -> bool:
    """Whether a server answers in time, names looked up included."""
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            request = urllib.request.Request(address, method="HEAD")  # noqa: S310 (https, a constant)
            with urllib.request.urlopen(request, timeout=TORCH_CPU_INDEX_TIMEOUT_S):  # noqa: S310
                answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(TORCH_CPU_INDEX_TIMEOUT_S)


def ensure(*needs: str) -> None:
    """Install what is needed and not there yet; `serve` is always needed, as all else stands on it.

    Args:
        needs: names of NEEDS.

    Raises:
        SetupError: it could not be installed.
    """
    with locked():
        version = version_of(BASE)
        if tuple(version.split(".")[:2]) not in {tuple(map(str, supported)) for supported in SUPPORTED}:
            make_base()
            version = version_of(BASE)
        for need in dict.fromkeys(("serve", *needs)):
            for environment in dict.fromkeys(step.environment for step in NEEDS[need]):
                if environment.base and version_of(environment) != version:
                    make_layer(environment, environment.base)
            for step in NEEDS[need]:
                _carry_out(step, step.digest(version))


def set_up(*needs: str) -> int:
    """`ensure` for a command line: what failed is said in one line. Returns the exit code."""
    try:
        ensure(*needs)
    except SetupError as error:
        say(f"setup: {error}", error=True)
        return 1
    except KeyboardInterrupt:
        say("setup: interrupted; run again to go on", error=True)
        return 130
    return 0


def _carry_out(step: Step, digest: str) -> None:
    """Install what a step names, unless the environment's stamp says that it has been."""
    environment = step.environment
    try:
        installed = json.loads(environment.stamp.read_text())
    except (OSError, ValueError):
        installed = {}
    if installed.get(step.file) == digest:
        return
    what = f"{step.file} into {environment.folder.name}"
    say(f"setup: installing {what}")
    started = time.monotonic()
    if step.install:
        step.install(environment)
    else:
        pip("install", step.file, *step.options, environment=environment)
    say(f"setup: installed {what} in {time.monotonic() - started:.0f} s")
    installed[step.file] = digest
    temporary = environment.stamp.with_suffix(".new")
    temporary.write_text(json.dumps(installed))
    temporary.replace(environment.stamp)


def main(argv: list[str] | None = None) -> int:
    """Run set-up; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the environments and install the pinned requirements.")
    parser.add_argument("needs", nargs="*", metavar="NEED", help=f"of {', '.join(NEEDS)} (default: serve)")
    parser.add_argument("--probe", action="store_true", help="only say whether this Python fits")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.needs) - set(NEEDS))
    if unknown:
        parser.error(f"there is no {unknown[0]!r}: choose one of {', '.join(NEEDS)}")
    reason = unfitness()
    if arguments.probe:
        say(reason or "fits")
        return 1 if reason else 0
    if reason and not version_of(BASE):
        python = other_python()
        if python:
            os.execv(python, [python, *sys.argv])  # noqa: S606 (replaces this process on purpose)
    return set_up(*arguments.needs)


if __name__ == "__main__":
    sys.exit(main())
