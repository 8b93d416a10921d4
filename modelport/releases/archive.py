"""A release as one reproducible tar: what KServe downloads over HTTP, and the layer of an OCI image."""

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from modelport.releases.sources import CHUNK, Source

_BLOCK = 512


def tar_chunks(source: Source, prefix: str = "") -> Iterator[bytes]:
    """The tar of a release with release.json and its signature: sorted, without dates and owners.

    Args:
        source: where the release is stored.
        prefix: the folder in the tar that contains everything, such as "models"; empty: none.
    """
    sizes = source.sizes()
    files = {(PurePosixPath(prefix) / path).as_posix(): path for path in sizes}
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents} - {"."}
    for name in sorted({*files, *folders}):
        info = tarfile.TarInfo(name)
        if name in folders:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            yield info.tobuf(tarfile.USTAR_FORMAT)
            continue
        info.mode, info.size = 0o444, sizes[files[name]]
        yield info.tobuf(tarfile.USTAR_FORMAT)
        yield from source.chunks(files[name])
        yield bytes(-info.size % _BLOCK)
    yield bytes(2 * _BLOCK)


class Archived:
    """A release in a tar.

    Args:
        path: the tar file.
        prefix: the folder in it that contains the release.
        address: as messages show it.
    """

    def __init__(self, path: Path, prefix: str, address: str) -> None:
        self.address = address
        self._path = path
        with tarfile.open(path) as archive:
            self._members = {
                PurePosixPath(member.name).relative_to(prefix).as_posix(): member
                for member in archive
                if not member.isdir()
            }

    def sizes(self) -> Mapping[str, int]:
        """The size in bytes of every file, by path."""
        return {path: member.size for path, member in self._members.items()}

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file."""
        with tarfile.open(self._path) as archive, archive.extractfile(self._members[path]) as stream:  # type: ignore[union-attr]
            while chunk := stream.read(CHUNK):
                yield chunk
