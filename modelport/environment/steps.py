"""What a command can need, and how it is installed: each step once, remembered by a stamp in the environment."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from modelport.environment.layers import (
    BASE,
    QUANTISE,
    TENSORFLOW,
    TORCH,
    Environment,
    make_base,
    make_layer,
    version_of,
)
from modelport.environment.machine import SUPPORTED, unusable_checkout
from modelport.environment.packages import HASHED, REQUIREMENTS, UNRESOLVED, pip
from modelport.environment.project import ROOT, SetupError, say
from modelport.environment.pytorch import install_torch

PROJECT_FILE = "pyproject.toml"


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


# What a command can need, by name: see the table of commands in modelport/cli.py.
NEEDS: Mapping[str, tuple[Step, ...]] = {
    "serve": (
        Step(BASE, "transformers.txt"),
        Step(BASE, "serve.txt"),
        Step(BASE, "reference.txt", (*HASHED, *UNRESOLVED)),
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
        Step(TORCH, "torch-build.txt", install=install_torch),
    ),
    "tensorflow": (Step(TENSORFLOW, "tensorflow.txt"),),
    "quantise": (Step(QUANTISE, "quantise.txt"),),
}


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One set-up at a time in this checkout."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure(*needs: str) -> None:
    """Install what is needed and not there yet; `serve` is always needed, as all else stands on it.

    Args:
        needs: names of NEEDS.

    Raises:
        SetupError: it could not be installed.
    """
    reason = unusable_checkout()
    if reason:
        raise SetupError(reason)
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
