"""Where a release is stored: files by path, read in chunks. Folders here, storage in store.py, tars in archive.py."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from modelport.releases.errors import NotFoundError, ReleaseInvalidError

CHUNK = 1 << 20  # bytes


class Source(Protocol):
    """A place that stores one release."""

    @property
    def address(self) -> str:
        """Its path or URL, as messages show it."""

    def sizes(self) -> Mapping[str, int]:
        """The size in bytes of every file that is there, by path."""

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file."""


class Folder:
    """A release in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = str(folder)
        if not folder.is_dir():
            raise NotFoundError(f"{folder} is not a folder: name the folder of a release")

    def sizes(self) -> Mapping[str, int]:
        """The size in bytes of every file, by path.

        KServe's storage initializer makes links at the top level of a local folder; only those are followed.

        Raises:
            ReleaseInvalidError: there is another link, or something that is not a regular file.
        """
        found: dict[str, int] = {}
        for entry in sorted(self._folder.iterdir()):
            top = entry.resolve()
            for path in top.rglob("*") if top.is_dir() else [top]:
                name = "/".join((entry.name, *path.relative_to(top).parts))
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise ReleaseInvalidError(f"{self.address}/{name} is a link or not a regular file: remove it")
                if path.is_file():
                    found[name] = path.stat().st_size
        return found

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file."""
        with (self._folder / path).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk


def copy(source: Source, folder: Path) -> None:
    """Copy all files of a source into a folder.

    Raises:
        ReleaseInvalidError: a path leads out of the folder.
    """
    for path in source.sizes():
        target = folder / path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ReleaseInvalidError(f"{source.address} contains {path!r}, which leaves the folder: do not use it")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            for chunk in source.chunks(path):
                stream.write(chunk)
