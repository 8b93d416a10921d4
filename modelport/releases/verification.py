"""Compares every file of a source with its release.json."""

from collections.abc import Callable
from pathlib import Path

from exporters.files import sha256
from exporters.repository import REPOSITORY
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.errors import NotFoundError, ReleaseInvalidError
from modelport.releases.release import RELEASE_FILE, RELEASES, SIGNATURE_FILE, Release, find, parse
from modelport.releases.sources import Folder, Source

MAX_RELEASE_FILE = 16 << 20  # bytes; real ones have a few thousand


def read_release(source: Source) -> Release:
    """Read the release.json of a source.

    Raises:
        NotFoundError: there is none. It is written last, so the release is incomplete or absent.
        ReleaseInvalidError: it is malformed.
    """
    size = source.sizes().get(RELEASE_FILE)
    if size is None:
        raise NotFoundError(f"{source.address} has no {RELEASE_FILE}, so no complete release: publish it (again)")
    if size > MAX_RELEASE_FILE:
        raise ReleaseInvalidError(f"{source.address}/{RELEASE_FILE} has {size} bytes, too many for a {RELEASE_FILE}")
    return parse(b"".join(source.chunks(RELEASE_FILE)))


def verify(source: Source, report: Callable[[int], object] = lambda size: None) -> Release:
    """Compare every file of a source with its release.json.

    Args:
        source: where the release is stored.
        report: called with the size of each file, in bytes, once it is checked.

    Returns:
        The content of release.json.

    Raises:
        NotFoundError: there is no release.
        ReleaseInvalidError: a file is missing, does not belong to the release, or has another content.
    """
    release = read_release(source)
    sizes = {path: size for path, size in source.sizes().items() if path not in (RELEASE_FILE, SIGNATURE_FILE)}
    for path in sorted({*release.contents, *sizes}):
        place = f"{source.address}/{path}"
        if path not in sizes:
            raise ReleaseInvalidError(f"{place} is missing: build or fetch the release again")
        if path not in release.contents:
            raise ReleaseInvalidError(f"{place} does not belong to {release.name}: remove it")
        if sizes[path] != release.contents[path].size:
            raise ReleaseInvalidError(
                f"{place} has {sizes[path]} bytes, not {release.contents[path].size}: build or fetch the release again"
            )
    for path, record in release.contents.items():
        if sha256(source.chunks(path)) != record.sha256:
            raise ReleaseInvalidError(
                f"{source.address}/{path} was changed: do not serve it, build or fetch the release again"
            )
        report(record.size)
    return release


def verified_repository(service: str, part: str, root: Path = RELEASES) -> tuple[str, Path]:
    """Find and verify a release that was built on this machine.

    Args:
        service: the service's name.
        part: of the release's name, contained in no other name; `initial` is the checkout's model repository.
        root: the folder of releases.

    Returns:
        The release's full name and its folder, a model repository.

    Raises:
        NotFoundError: there is no such release.
        ReleaseInvalidError: its files do not match its release.json.
    """
    if part == FIRST_RELEASE:
        return part, REPOSITORY
    folder = find(service, part, root)
    return verify(Folder(folder)).name, folder
