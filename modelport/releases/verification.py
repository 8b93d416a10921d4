"""Is everything in a place what release.json says, and nothing else?"""

from __future__ import annotations

from collections.abc import Callable

from exporters.files import sha256
from modelport.releases.errors import NoReleaseError, ReleaseInvalidError
from modelport.releases.release import RELEASE_FILE, SIGNATURE_FILE, Release, parse
from modelport.releases.sources import Source

MAX_RELEASE_FILE = 16 << 20  # bytes; ours have a few thousand


def read_release(source: Source) -> Release:
    """Read the release.json of a place.

    Raises:
        NoReleaseError: there is none: it comes last, so the release is not whole or not there.
        ReleaseInvalidError: it is damaged.
    """
    size = source.sizes().get(RELEASE_FILE)
    if size is None:
        raise NoReleaseError(f"{source.address} holds no whole release, it has no {RELEASE_FILE}: publish it (again)")
    if size > MAX_RELEASE_FILE:
        raise ReleaseInvalidError(f"{source.address}/{RELEASE_FILE} has {size} bytes: that is none of ours")
    return parse(b"".join(source.chunks(RELEASE_FILE)))


def verify(source: Source, report: Callable[[int], object] = lambda size: None) -> Release:
    """Check every file of a place against its release.json.

    Args:
        source: the place.
        report: takes the bytes of each file that was checked.

    Returns:
        The release that it is.

    Raises:
        NoReleaseError: there is none.
        ReleaseInvalidError: a file is missing, is there and should not be, or has another content.
    """
    release = read_release(source)
    sizes = dict(source.sizes())
    refuse_difference(
        source.address, release, {p: s for p, s in sizes.items() if p not in (RELEASE_FILE, SIGNATURE_FILE)}
    )
    for path, record in release.files.items():
        if sha256(source.chunks(path)) != record.sha256:
            raise ReleaseInvalidError(f"{source.address}/{path} was changed: do not serve it, build or fetch it again")
        report(record.size)
    return release


def refuse_difference(address: str, release: Release, sizes: dict[str, int]) -> None:
    """Refuse files that are missing, too many or of another size.

    Raises:
        ReleaseInvalidError: names the first of them.
    """
    for path in sorted({*release.files, *sizes}):
        if path not in sizes:
            raise ReleaseInvalidError(f"{address}/{path} is missing: build or fetch it again")
        if path not in release.files:
            raise ReleaseInvalidError(f"{address}/{path} does not belong to {release.name}: remove it")
        if sizes[path] != release.files[path].size:
            raise ReleaseInvalidError(
                f"{address}/{path} has {sizes[path]} bytes, not {release.files[path].size}: build or fetch it again"
            )
