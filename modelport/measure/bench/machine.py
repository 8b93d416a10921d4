"""Where and of what a measurement was made."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modelport.environment import ROOT

_PACKAGES = ("kserve", "tritonclient", "onnxruntime", "torch", "tensorflow-cpu", "keras", "flask")
_PACKAGES += ("gunicorn", "opencv-python-headless", "numpy", "uvicorn", "uvloop")


def facts() -> dict[str, Any]:
    """Cores, processor, load before, versions, commit."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "commit": commit(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model[1] if model else platform.processor(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def commit() -> str:
    """The commit of this checkout, with a plus where files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def full_commit(name: str) -> str:
    """What a name of a commit means here, as `commit` writes it."""
    return _git("rev-parse", "--short=12", name)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
