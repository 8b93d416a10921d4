"""Checks that a model's files are those of its release: release.json beside the models has their sha256 and size.

KServe's storage initializer checks no hash, so the transformer does. With --require_signature it also checks that
release.json was signed, and that the folder has the files of that release and no others.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kserve_transformers.assignment import FILES, renamed, triton_name
from kserve_transformers.predictor.signature import PublicKeys, SignatureError, check_signature

RELEASE_FILE = "release.json"
SIGNATURE_FILE = "release.sig"
# What a supervisor puts beside the models: its own files, and releases that are to take over.
_SUPERVISED = re.compile(rf"\.?({'|'.join(map(re.escape, FILES))})|.+\.\d{{4}}-\d\d-\d\d-[0-9a-f]{{12}}")


class ReleaseError(ValueError):
    """A release that must not be served; the message says why."""


@dataclass(frozen=True)
class RequiredSignature:
    """What --require_signature demands of releases."""

    keys: PublicKeys  # of which one must have signed
    services: tuple[str, ...]  # that the model answers for: the release must be of one of them
    supervised: bool = False  # whether a supervisor adds releases beside the one that served at the start


def release_of(repository: Path | None) -> str:
    """The name in a repository's release.json; "none" where there is none or it is damaged."""
    try:
        return str(json.loads((repository / RELEASE_FILE).read_text())["name"]) if repository else "none"
    except (OSError, ValueError, KeyError, TypeError):
        return "none"  # this is for display: files are compared before they are served


class ReleaseFiles:
    """The files of one model, compared with release.json when they are first seen and whenever one has changed.

    Args:
        repository: the model repository.
        model: the model's name.
        release: its release, where a supervisor has added it; None: the repository is the release's folder.
        required: the signature that the release must have; without one, a repository without a release.json has
            nothing to compare with.
    """

    def __init__(
        self, repository: Path, model: str, release: str | None = None, required: RequiredSignature | None = None
    ) -> None:
        self.release = release
        self._repository = repository
        self._model = model
        self._required = required
        self._seen: object = None
        self._problem: str | None = None

    def check(self) -> None:
        """Compare; blocks while it reads the files.

        Raises:
            ReleaseError: a file is missing, added or changed, or the signature does not hold.
            OSError: a file cannot be read.
        """
        manifest, bundle = (self._repository / triton_name(f, self.release) for f in (RELEASE_FILE, SIGNATURE_FILE))
        if not manifest.exists():
            if self._required:
                raise ReleaseError(
                    f"there is no {RELEASE_FILE} beside the models, and only signed releases are served: "
                    "build one with --sign-key"
                )
            return
        found = dict(self._found())
        watched = [manifest, bundle, *(self._required.keys.paths if self._required else ()), *found.values()]
        seen = {path: _stamp(path) for path in watched if path.exists() or path.is_symlink()}
        if seen != self._seen:
            self._problem = self._compare(manifest.read_bytes(), bundle, found)
            self._seen = seen
        if self._problem:
            raise ReleaseError(self._problem)

    def _found(self) -> Iterator[tuple[str, Path]]:
        """The model's files, or all files of the repository where a signature must cover it; by path in the release."""
        whole = self._required is not None and self.release is None
        folder = self._repository / triton_name(self._model, self.release)
        for entry in sorted(self._repository.iterdir()) if whole else [folder] * folder.exists():
            if whole and (
                entry.name in (RELEASE_FILE, SIGNATURE_FILE)
                or (self._required and self._required.supervised and _SUPERVISED.fullmatch(entry.name))
            ):
                continue
            name = entry.name if whole else self._model
            top = entry.resolve()  # KServe's storage initializer links the top level of local folders
            for path in top.rglob("*") if top.is_dir() else [top]:
                if path.is_symlink() or not path.is_dir():
                    yield "/".join((name, *path.relative_to(top).parts)), path

    def _compare(self, manifest: bytes, bundle: Path, found: Mapping[str, Path]) -> str | None:
        try:
            document = json.loads(manifest)
            files = {path: (file["sha256"], file["size"]) for path, file in _listed(document).items()}
            if self._required:
                check_signature(self._required.keys, bundle, manifest, {path: file[0] for path, file in files.items()})
                if document["service"] not in self._required.services:
                    return f"the release is one of {document['service']}, not of {', '.join(self._required.services)}"
                if self.release not in (None, document["name"]):
                    return f"{RELEASE_FILE} is that of {document['name']}, not of {self.release}"
        except SignatureError as error:
            return str(error)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return f"{RELEASE_FILE} cannot be read ({error!r:.200}): fetch the models again"
        own = f"{self._model}/"
        if not (self._required and self.release is None):
            files = {path: file for path, file in files.items() if path.startswith(own)}
        elif not any(path.startswith(own) for path in files):
            return f"the release has no model {self._model}"
        for path in sorted({*files, *found}):
            if path not in found:
                return f"{path} of the release is missing: fetch the models again"
            if path not in files or found[path].is_symlink():
                return f"{path} does not belong to the release: fetch the models again"
            if not self._is_released(found[path], *files[path]):
                return f"{path} is not as released: fetch the models again"
        return None

    def _is_released(self, path: Path, sha256: str, size: int) -> bool:
        if self.release and path.suffix == ".pbtxt":  # the supervisor has renamed the model in it
            return hashlib.sha256(renamed(path.read_bytes(), self._model)[0]).hexdigest() == sha256
        return path.is_file() and path.stat().st_size == size and _sha256(path) == sha256


def _listed(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The files that release.json lists: those of the models, and documents about the release."""
    return {**document["files"], **document.get("documents", {})}


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file does."""
    stat = path.lstat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
