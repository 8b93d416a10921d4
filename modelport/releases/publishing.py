"""Uploads a release to where KServe downloads it: TO/SERVICE/NAME/MODEL/..., release.json last, everything read back.

Files that an interrupted upload left are compared by size and by the sha256 of what is read back, since storages differ
in their etags and checksums; files that match are not sent again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporters.files import sha256
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.archive import tar_chunks
from modelport.releases.errors import NotFoundError, StoreError
from modelport.releases.release import DIGITS, NAME, RELEASE_FILE, SIGNATURE_FILE, Release
from modelport.releases.sources import Folder, Source
from modelport.releases.store import Stored, names_below, open_store
from modelport.releases.verification import read_release, verify

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Published:
    """The result of publishing."""

    address: str  # the release's URL; where the same content was published under another name, the URL of that
    sent: int  # how many files were uploaded
    found: int  # how many were there already and matched
    new: bool  # False where the complete release was there already


def publish(folder: Path, to: str, progress: Progress = lambda size: None) -> Published:
    """Publish a release as a folder.

    Args:
        folder: the release's folder; it is verified first.
        to: the storage's URL; SERVICE/NAME is appended.
        progress: called with numbers of bytes, once as they are sent and once as they are read back.

    Raises:
        ReleaseInvalidError: the release, or a published copy of it, was changed.
        StoreError: the storage cannot be used, or contains another release of this name.
    """
    source = Folder(folder)
    release = verify(source)
    store = open_store(to)
    base = f"{to.rstrip('/')}/{release.service}"

    def stored(name: str) -> Stored:
        return Stored(store, f"{release.service}/{name}", f"{base}/{name}")

    known = {name: stored(name) for name in names_below(store, release.service, to)}
    if published := published_before(known, release, progress):
        return published
    target = stored(release.name)
    there = target.sizes()
    signature = [SIGNATURE_FILE] if SIGNATURE_FILE in source.sizes() else []
    foreign = sorted(there.keys() - {*release.contents, SIGNATURE_FILE})
    if foreign:
        raise StoreError(f"{target.address}/{foreign[0]} does not belong to this release: remove it there first")
    sent = 0
    for path in (*release.contents, *signature):
        sent += _copied(source, target, path, there.get(path), progress)
    content = (folder / RELEASE_FILE).read_bytes()
    if not target.create(RELEASE_FILE, content) and b"".join(target.chunks(RELEASE_FILE)) != content:
        raise StoreError(f"{target.address} was published by another process at the same time: run it again")
    listed = target.sizes().keys() - {SIGNATURE_FILE}
    if listed != {*release.contents, RELEASE_FILE}:  # clients download what is listed
        raise StoreError(f"{target.address} lists {len(listed)} files, not {len(release.contents) + 1}: run it again")
    return Published(target.address, sent, len(release.contents) + len(signature) - sent, new=True)


def publish_initial(folder: Path, service: str, to: str, progress: Progress = lambda size: None) -> Published:
    """Upload models as SERVICE/initial, the place of what serves before anything was released; it may change.

    Args:
        folder: of models; it has no release.json.
        service: first part of the path.
        to: the storage's URL.
        progress: called with numbers of bytes, once as they are sent and once as they are read back.

    Raises:
        StoreError: the storage cannot be used.
    """
    source, address = Folder(folder), f"{to.rstrip('/')}/{service}/{FIRST_RELEASE}"
    target = Stored(open_store(to), f"{service}/{FIRST_RELEASE}", address)
    there, sent = target.sizes(), 0
    if foreign := sorted(there.keys() - source.sizes().keys()):
        raise StoreError(f"{address}/{foreign[0]} is no file of these models: remove it there first")
    for path in source.sizes():
        sent += _copied(source, target, path, there.get(path), progress)
    return Published(address, sent, len(source.sizes()) - sent, new=sent > 0)


def _copied(source: Folder, target: Stored, path: str, there: int | None, progress: Progress) -> bool:
    """Send a file and read it back, unless it is there; whether it was sent.

    Args:
        source: has the file.
        target: is to have it.
        path: of the file, in both.
        there: its size in the target; None where it is not there.
        progress: called with numbers of bytes, once as they are sent and once as they are read back.

    Raises:
        StoreError: the target cannot be used, or answers another content.
    """
    size, wanted = source.sizes()[path], sha256(source.chunks(path))
    if there == size and sha256(target.chunks(path)) == wanted:
        progress(2 * size)
        return False
    target.put(path, counted(source.chunks(path), progress), size)
    if sha256(counted(target.chunks(path), progress)) != wanted:
        raise StoreError(f"{target.address}/{path} was read back with another content: run it again")
    return True


def publish_archive(folder: Path, to: str, progress: Progress = lambda size: None) -> Published:
    """Publish a release as the single file TO/SERVICE/NAME.tar, the form that KServe downloads over HTTP.

    Raises:
        ReleaseInvalidError: the release was changed.
        StoreError: the storage cannot be used, or contains another archive of this name.
    """
    source = Folder(folder)
    release = verify(source)
    target = Stored(open_store(to), release.service, f"{to.rstrip('/')}/{release.service}")
    name, wanted = f"{release.name}.tar", sha256(tar_chunks(source))
    new = name not in target.sizes()
    if new:
        target.put(name, counted(tar_chunks(source), progress), sum(map(len, tar_chunks(source))))
    if sha256(counted(target.chunks(name), progress)) != wanted:
        raise StoreError(f"{target.address}/{name} has another content than this release: remove it, run it again")
    return Published(f"{target.address}/{name}", int(new), int(not new), new)


def published_before(known: Mapping[str, Source], release: Release, progress: Progress) -> Published | None:
    """Find and verify a published release with the same content, whatever the date in its name; None: there is none.

    Args:
        known: what is published of the service, by name.
        release: what is to be published.
        progress: called with twice the number of bytes that were verified.

    Raises:
        ReleaseInvalidError: it was changed.
        StoreError: another release has this name.
    """
    for name, source in known.items():
        match = NAME.fullmatch(name)
        if not match or match["digest"] != release.digest[:DIGITS]:
            continue
        try:
            found = read_release(source)
        except NotFoundError:
            continue  # incomplete
        if found.digest == release.digest:
            verify(source, lambda size: progress(2 * size))
            return Published(source.address, 0, len(release.contents), new=False)
        if found.name == release.name:
            raise StoreError(f"{source.address} is another release of this name, which is never overwritten")
    return None


def counted(chunks: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    """Pass chunks on, and report the size of each."""
    for chunk in chunks:
        progress(len(chunk))
        yield chunk
