"""The virtual environments: .venv, and a layer on it for each framework."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelport.environment.machine import unfitness
from modelport.environment.project import ROOT, SetupError, say


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
QUANTISE = Environment(ROOT / ".venv-quantise", disk="0.1 GB", base=BASE)
FRAMEWORKS: Mapping[str, Environment] = {"torch": TORCH, "tensorflow": TENSORFLOW, "quantise": QUANTISE}


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
    import importlib.metadata  # missing in the oldest Pythons, which get only a message of what is needed

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
