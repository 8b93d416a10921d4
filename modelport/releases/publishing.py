"""Puts a release where KServe fetches it: TO/SERVICE/NAME/MODEL/..., release.json last, everything read back.

A file that is there already is known to be right by its size and then by its sha256, read back: etags and checksums
differ between storages, and a wrong model is worse than a slow upload. So what an interrupted run left is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.files import sha256
from modelport.releases.archive import tar_chunks
from modelport.releases.errors import NoReleaseError, StoreError
from modelport.releases.release import DIGITS, NAME, RELEASE_FILE, SIGNATURE_FILE, Release
from modelport.releases.sources import Folder, Source
from modelport.releases.store import Stored, names_below, open_store
from modelport.releases.verification import read_release, verify

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Published:
    """What came of it.

    Attributes:
        address: of the release; where the same content is there already, its address under the name that it has there.
        sent: files that went up; found: files that were there and right.
        new: False where the whole release was there.
    """

    address: str
    sent: int
    found: int
    new: bool


def publish(folder: Path, to: str, progress: Progress = lambda size: None) -> Published:
    """Publish a release.

    Args:
        folder: of the release; it is verified first.
        to: the storage's address; SERVICE/NAME is added.
        progress: takes bytes as they are sent, and again as they are read back.

    Raises:
        ReleaseInvalidError: the release, or what is there of it, was changed.
        StoreError: the storage cannot be used, or holds another release of this name.
    """
    source = Folder(folder)
    release = verify(source)
    store = open_store(to)
    base = f"{to.rstrip('/')}/{release.service}"
    twin = same_content(
        [
            Stored(store, f"{release.service}/{name}", f"{base}/{name}")
            for name in names_below(store, release.service, to)
            if (match := NAME.fullmatch(name)) and match["digest"] == release.digest[:DIGITS]
        ],
        release,
    )
    if twin is not None:
        verify(twin, lambda size: progress(2 * size))
        return Published(twin.address, 0, len(release.files), new=False)
    target = Stored(store, f"{release.service}/{release.name}", f"{base}/{release.name}")
    there = target.sizes()
    signature = [SIGNATURE_FILE] if SIGNATURE_FILE in source.sizes() else []
    strangers = sorted(there.keys() - {*release.files, SIGNATURE_FILE})
    if strangers:
        raise StoreError(f"{target.address}/{strangers[0]} does not belong to this release: remove it there first")
    sent = 0
    for path in (*release.files, *signature):
        wanted = sha256(source.chunks(path))
        if there.get(path) == source.sizes()[path] and sha256(target.chunks(path)) == wanted:
            progress(2 * source.sizes()[path])
            continue
        target.put(path, counted(source.chunks(path), progress), source.sizes()[path])
        _require(target, path, wanted, progress)
        sent += 1
    content = (folder / RELEASE_FILE).read_bytes()
    if not target.create(RELEASE_FILE, content) and b"".join(target.chunks(RELEASE_FILE)) != content:
        raise StoreError(f"{target.address} was published by somebody else just now: run it again to compare")
    _require_listed(target, release)
    return Published(target.address, sent, len(release.files) + len(signature) - sent, new=True)


def publish_archive(folder: Path, to: str, progress: Progress = lambda size: None) -> Published:
    """Publish a release as the single file TO/SERVICE/NAME.tar, which is what KServe fetches over HTTP.

    Raises:
        ReleaseInvalidError: the release was changed.
        StoreError: the storage cannot be used, or holds another archive of this name.
    """
    source = Folder(folder)
    release = verify(source)
    target = Stored(open_store(to), release.service, f"{to.rstrip('/')}/{release.service}")
    name, wanted = f"{release.name}.tar", sha256(tar_chunks(source))
    size = sum(len(chunk) for chunk in tar_chunks(source))
    found = target.sizes().get(name)
    if found is None:
        target.put(name, counted(tar_chunks(source), progress), size)
    if sha256(counted(target.chunks(name), progress)) != wanted:
        raise StoreError(f"{target.address}/{name} is another archive or came back changed: remove it, run it again")
    return Published(f"{target.address}/{name}", int(found is None), int(found is not None), new=found is None)


def _require_listed(target: Stored, release: Release) -> None:
    """What was written is listed, too, and nothing else: a reader goes by the list."""
    listed = target.sizes().keys() - {SIGNATURE_FILE}
    if listed != {*release.files, RELEASE_FILE}:
        raise StoreError(f"{target.address} lists {len(listed)} files, not {len(release.files) + 1}: run it again")


def same_content(candidates: Iterable[Source], release: Release) -> Source | None:
    """The release with this content that is there already, whatever the day in its name; None: there is none.

    Raises:
        StoreError: another release has the name of this one.
    """
    for candidate in candidates:
        try:
            known = read_release(candidate)
        except NoReleaseError:
            continue  # not whole
        if known.digest == release.digest:
            return candidate
        if known.name == release.name:
            raise StoreError(f"{candidate.address} holds another release of this name: it is never overwritten")
    return None


def counted(chunks: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    """The same chunks; progress takes their bytes."""
    for chunk in chunks:
        progress(len(chunk))
        yield chunk


def _require(target: Stored, path: str, wanted: str, progress: Progress) -> None:
    if sha256(counted(target.chunks(path), progress)) != wanted:
        raise StoreError(f"{target.address}/{path} came back changed: run it again")
