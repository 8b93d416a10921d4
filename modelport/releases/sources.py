"""Where a release lies: files by path, read in pieces. Folders here, storage in store.py, image layers in oci.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from modelport.releases.errors import NoReleaseError, ReleaseInvalidError

CHUNK = 1 << 20


class Source(Protocol):
    """A place that holds one release."""

    @property
    def address(self) -> str:
        """What a person calls it."""

    def sizes(self) -> Mapping[str, int]:
        """All files that are there: bytes by path."""

    def chunks(self, path: str) -> Iterator[bytes]:
        """A file's content, piece by piece."""


class Folder:
    """A release in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            raise NoReleaseError(f"{folder} is not a folder: name the folder of a release")

    @property
    def address(self) -> str:
        """Its path."""
        return str(self._folder)

    def sizes(self) -> Mapping[str, int]:
        """All files.

        KServe's storage initializer links the top level of a local folder: there, and only there, links are followed.

        Raises:
            ReleaseInvalidError: something is a link, or no plain file.
        """
        found: dict[str, int] = {}
        for entry in sorted(self._folder.iterdir()):
            top = entry.resolve()
            for path in top.rglob("*") if top.is_dir() else [top]:
                name = "/".join((entry.name, *path.relative_to(top).parts))
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise ReleaseInvalidError(f"{self.address}/{name} is a link or no plain file: remove it")
                if path.is_file():
                    found[name] = path.stat().st_size
        return found

    def chunks(self, path: str) -> Iterator[bytes]:
        """A file's content."""
        with (self._folder / path).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk


def copy(source: Source, folder: Path) -> None:
    """Copy all files of a place into a folder, which may not be told to put them anywhere else.

    Raises:
        ReleaseInvalidError: a path leaves the folder.
    """
    for path in source.sizes():
        target = folder / path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ReleaseInvalidError(f"{source.address} holds {path!r}, which leaves the folder: do not use it")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            for chunk in source.chunks(path):
                stream.write(chunk)
