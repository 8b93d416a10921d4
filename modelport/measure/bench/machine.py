"""The machine and the versions of a measurement."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from modelport.environment import FRAMEWORKS, ROOT

_SERVING = ("kserve", "tritonclient", "onnxruntime", "openvino", "opencv-python-headless", "numpy", "uvicorn", "uvloop")
_PACKAGES = (*_SERVING, "torch", "tensorflow-cpu", "keras", "flask", "gunicorn")


def facts() -> dict[str, Any]:
    """Commit, cores, processor, load average before, versions."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "commit": commit(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model[1] if model else platform.processor(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Versions of packages, wherever they are installed; frameworks have environments of their own."""
    layers = [str(path) for one in FRAMEWORKS.values() for path in one.folder.glob("lib/python*/site-packages")]
    found = {name: next(iter(Distribution.discover(name=name, path=[*sys.path, *layers])), None) for name in _PACKAGES}
    return {name: package.version for name, package in found.items() if package}


def commit() -> str:
    """The commit of this checkout, with a plus if files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def full_commit(name: str) -> str:
    """The commit that a revision names, in the form of `commit`."""
    return _git("rev-parse", "--short=12", name)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
