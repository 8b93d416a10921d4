"""Checks that a model's files are those of its release: release.json beside the models has their sha256 and size.

KServe's storage initializer checks no hash, so the transformer does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RELEASE_FILE = "release.json"


def release_of(repository: Path | None) -> str:
    """The name in a repository's release.json; "none" where there is none or it is damaged."""
    try:
        return str(json.loads((repository / RELEASE_FILE).read_text())["name"]) if repository else "none"
    except (OSError, ValueError, KeyError, TypeError):
        return "none"  # this is for display: files are compared before they are served


class ReleaseFiles:
    """The files of one model, compared with release.json when they are first seen and whenever one has changed.

    Args:
        repository: the model repository; without a release.json there is nothing to compare with.
        model: the model's name.
    """

    def __init__(self, repository: Path, model: str) -> None:
        self._repository = repository
        self._model = model
        self._seen: object = None
        self._problem: str | None = None

    def problem(self) -> str | None:
        """What is wrong with the files, None if nothing; blocks while it reads them.

        Raises:
            OSError: a file cannot be read.
            ValueError: release.json is not well-formed.
            KeyError: likewise.
        """
        manifest = self._repository / RELEASE_FILE
        if not manifest.exists():
            return None
        folder = self._repository / self._model
        found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
        seen = {path: _stamp(path) for path in (manifest, *found.values())}
        if seen != self._seen:
            self._problem = self._compare(json.loads(manifest.read_bytes())["files"], found)
            self._seen = seen
        return self._problem

    def _compare(self, released: Mapping[str, Any], found: Mapping[str, Path]) -> str | None:
        prefix = f"{self._model}/"
        wanted = {path.removeprefix(prefix): file for path, file in released.items() if path.startswith(prefix)}
        for name in sorted({*wanted, *found}):
            if name not in found:
                return f"{prefix}{name} of the release is missing: fetch the models again"
            if name not in wanted or found[name].is_symlink():
                return f"{prefix}{name} does not belong to the release: fetch the models again"
            if found[name].stat().st_size != wanted[name]["size"] or _sha256(found[name]) != wanted[name]["sha256"]:
                return f"{prefix}{name} is not as released: fetch the models again"
        return None


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file does."""
    stat = path.lstat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
