"""Files that are written completely or not at all, and digests that identify them."""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporters.errors import RepositoryError

UNFINISHED = ".building-"
_CURES = {
    errno.ENOSPC: "the disk is full: free some space and run it again",
    errno.EDQUOT: "the disk quota is used up: free some space and run it again",
    errno.EACCES: "no permission to write there: choose another folder or change its owner",
    errno.EPERM: "no permission to write there: choose another folder or change its owner",
    errno.EROFS: "the file system is read-only: choose another folder",
}


def content_sha256(path: Path) -> str:
    """Identify a file, or a folder by the names and contents of all files in it.

    Args:
        path: a file or a folder without links.

    Returns:
        64 hexadecimal digits; for a file the plain sha256 of its bytes.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return listing_sha256((file.relative_to(path).as_posix(), content_sha256(file)) for file in files)


def sha256(chunks: Iterable[bytes]) -> str:
    """The sha256 of content that comes in chunks, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def listing_sha256(listing: Iterable[tuple[str, str]]) -> str:
    """The sha256 of a folder: of its files' relative paths and sha256, in order."""
    return sha256(f"{path}\0{digest}\n".encode() for path, digest in listing)


def replace_file(path: Path, content: bytes) -> bool:
    """Give a file this content, atomically. Returns whether that changed anything."""
    if path.is_file() and path.read_bytes() == content:
        return False
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path) as temporary:
            temporary.write_bytes(content)
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder, which is made where it is missing. The lock ends with the process.

    Raises:
        RepositoryError: the folder, or something in it, cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file there replaces `path` if the block ends without an error."""
    descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, suffix=path.name, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, older_than_s: float = 0.0) -> None:
    """Remove the unfinished files that killed processes have left in a folder."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime >= older_than_s:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def flush(path: Path) -> None:
    """Write a file, or all files in a folder, to the disk: a rename must not be persisted before the content is."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the operating system on writing into one line that says what to do.

    Raises:
        RepositoryError: the disk is full, or the place cannot be written.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno not in _CURES:
            raise
        raise RepositoryError(f"cannot write {path}: {_CURES[exc.errno]}") from exc
