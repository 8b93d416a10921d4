"""Which of Triton's models answers for a model of a chain: a small file in the repository names it during an update.

serving.json at the repository's root: {"mnist": "2026-11-21-3f9c2a51b0de"} says that mnist.2026-11-21-3f9c2a51b0de
answers for mnist. Without the file, or an entry in it, that is the model of the same name.
"""

from __future__ import annotations

import json
from pathlib import Path

ASSIGNMENTS_FILE = "serving.json"


def assigned_release(repository: Path | None, model: str) -> str | None:
    """The release that shall answer for a model; None: the repository's own.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not well-formed.
    """
    if repository is None:
        return None
    try:
        assignments = json.loads((repository / ASSIGNMENTS_FILE).read_bytes())
    except FileNotFoundError:
        return None
    release = assignments.get(model) if isinstance(assignments, dict) else None
    if not isinstance(assignments, dict) or not isinstance(release, str | None):
        raise ValueError(f"{ASSIGNMENTS_FILE} must be an object of model and release")
    return release


def triton_name(model: str, release: str | None) -> str:
    """What a model of a release is called in Triton."""
    return f"{model}.{release}" if release else model
