"""The machine and the versions of a measurement."""

import os
import platform
import re
from pathlib import Path
from typing import Any

from modelport.environment import git, installed_version

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
        "versions": {name: installed_version(name) for name in _PACKAGES},
    }


def commit() -> str:
    """The commit of this checkout, with a plus if files differ from it."""
    head = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def full_commit(name: str) -> str:
    """The commit that a revision names, in the form of `commit`."""
    return git("rev-parse", "--short=12", name)
