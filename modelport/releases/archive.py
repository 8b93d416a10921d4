"""A release as one tar, the same bytes each time: what KServe fetches over HTTP, and the layer of an OCI image."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from modelport.releases.sources import CHUNK, Source

_BLOCK = 512


def tar_chunks(source: Source, prefix: str = "") -> Iterator[bytes]:
    """All files of a release, with release.json and its signature: sorted, without dates and owners.

    Args:
        source: the release.
        prefix: a folder that everything comes into, such as "models"; empty: none.
    """
    files = {(PurePosixPath(prefix) / path).as_posix(): path for path in source.sizes()}
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents} - {"."}
    for name in sorted({*files, *folders}):
        info = tarfile.TarInfo(name)
        if name in folders:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            yield info.tobuf(tarfile.USTAR_FORMAT)
            continue
        info.mode, info.size = 0o444, source.sizes()[files[name]]
        yield info.tobuf(tarfile.USTAR_FORMAT)
        yield from source.chunks(files[name])
        yield bytes(-info.size % _BLOCK)
    yield bytes(2 * _BLOCK)


class Archived:
    """A release in a tar, as a source.

    Args:
        path: of the tar.
        prefix: the folder in it.
        address: what a person calls it.
    """

    def __init__(self, path: Path, prefix: str, address: str) -> None:
        self._address = address
        with tarfile.open(path) as archive:
            members = [member for member in archive if not member.isdir()]
        self._path = path
        self._members: Mapping[str, tarfile.TarInfo] = {
            PurePosixPath(member.name).relative_to(prefix).as_posix(): member for member in members
        }

    @property
    def address(self) -> str:
        """What a person calls it."""
        return self._address

    def sizes(self) -> Mapping[str, int]:
        """All files in it."""
        return {path: member.size for path, member in self._members.items()}

    def chunks(self, path: str) -> Iterator[bytes]:
        """A file's content."""
        with self._path.open("rb") as stream:
            member = self._members[path]
            stream.seek(member.offset_data)
            left = member.size
            while left and (chunk := stream.read(min(left, CHUNK))):
                left -= len(chunk)
                yield chunk
