"""Whether this machine, this Python and this checkout can run the stack, and what to do where they cannot."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from modelport.environment.project import ROOT

PACKAGE = "modelport.environment"
SUPPORTED = ((3, 11), (3, 12), (3, 13))
# Triton starts its stubs by a shell, and search paths are joined with colons.
PLAIN_PATH = re.compile(r"[\w./+@%=,~-]+", re.ASCII)  # the Python in Triton's stubs is in the locale C


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


def shared_library() -> Path | None:
    """Path of this Python's libpython, which Triton's stubs load, or None when this Python was built without it."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    folders = (sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib"))  # noqa: PTH118 (old Pythons)
    return next((Path(folder) / name for folder in folders if folder and (Path(folder) / name).is_file()), None)


def other_python() -> str | None:
    """A Python in PATH that fits, newest first."""
    for minor in sorted(SUPPORTED, reverse=True):
        python = shutil.which("python{}.{}".format(*minor))
        if (
            python
            and subprocess.run(
                [python, "-m", PACKAGE, "--probe"], cwd=ROOT, capture_output=True, check=False
            ).returncode
            == 0
        ):
            return python
    return None


def unusable_checkout() -> str | None:
    """Why nothing can be set up in this checkout and what to do about it, in one line; None when it can."""
    if not PLAIN_PATH.fullmatch(str(ROOT)):
        return (
            f"Triton cannot be started in {str(ROOT)!r}: move the checkout to a path of ASCII letters, without spaces, "
            "colons or quotes"
        )
    try:
        with tempfile.TemporaryFile(dir=ROOT):
            return None
    except OSError as error:
        return f"cannot write into {ROOT} ({error.strerror}): clone into a folder of your own, or change its owner"
