"""What the client sends: the files, folders and prefixes that a command line names."""

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from kserve_transformers.arrays.images.formats import SUFFIXES
from kserve_transformers.client.storage import StoreFolder, is_url

STDIN = "-"
IMAGES = SUFFIXES
SERIES = frozenset((".csv", ".tsv", ".json"))


@dataclass(frozen=True)
class Input:
    """One file, or standard input."""

    name: str  # as it stands in the results: a path, a URL, or - for standard input
    relative: PurePosixPath  # its place below the folder that was named; its own name otherwise
    read: Callable[[], bytes]  # gives all its bytes; raises OSError

    def is_in_shard(self, shard: int, shards: int) -> bool:
        """Whether one of several clients sends it. It follows from the name alone, so new files move no old ones."""
        digest = hashlib.blake2b(self.name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % shards == shard


def find_inputs(named: Sequence[str], suffixes: frozenset[str], apart: Container[str] = ()) -> Iterator[Input]:
    """The files that were named, in order and each once; of folders all with a fitting suffix, by name.

    What cannot be read (a link that leads nowhere, a folder that cannot be listed) is an input, too: its result is the
    error.

    Args:
        named: paths of files and folders, URLs of storages (a prefix ends with a slash), or - for standard input.
        suffixes: of the files in folders, in lower case.
        apart: absolute paths of files and folders that are left out of folders: what the client itself writes.

    Raises:
        OSError: there is no such file, folder or prefix, or nothing fitting in it.
    """
    seen: set[str] = set()
    for name in named:
        count = 0
        for one in _found(name, suffixes, apart):
            count += 1
            key = one.name if is_url(one.name) or one.name == STDIN else os.path.abspath(one.name)  # noqa: PTH100
            if key not in seen:
                seen.add(key)
                yield one
        if not count:
            raise FileNotFoundError(f"{name}: no file in it ends in {', '.join(sorted(suffixes))}")


def _found(name: str, suffixes: frozenset[str], apart: Container[str]) -> Iterator[Input]:
    path = Path(name)
    if name == STDIN:
        yield Input(STDIN, PurePosixPath("stdin"), sys.stdin.buffer.read)
    elif is_url(name):
        yield from _stored(name, suffixes)
    elif path.is_dir():
        yield from _below(path, suffixes, apart)
    elif os.path.lexists(path):
        if not path.exists():
            raise FileNotFoundError(f"{name}: the link leads to {path.readlink()}, which is not there")
        yield Input(_text(name), PurePosixPath(_text(path.name)), path.read_bytes)
    else:
        raise FileNotFoundError(f"{name}: no such file or folder")


def _stored(url: str, suffixes: frozenset[str]) -> Iterator[Input]:
    if not url.endswith("/") and PurePosixPath(url).suffix.lower() in suffixes:
        above, _, name = url.rpartition("/")
        folder = StoreFolder(above)
        yield Input(url, PurePosixPath(name), partial(folder.read, name))
        return
    folder = StoreFolder(url)
    for name in folder.names():
        if PurePosixPath(name).suffix.lower() in suffixes:
            yield Input(folder.address + name, PurePosixPath(name), partial(folder.read, name))


def _below(folder: Path, suffixes: frozenset[str], apart: Container[str]) -> Iterator[Input]:
    """The files below a folder; a folder that is a link is followed where it is named, and refused below."""
    found: list[tuple[Path, str]] = []

    def note(error: OSError) -> None:
        found.append((Path(error.filename), f"the folder cannot be listed: {error.strerror}"))

    for above, folders, files in os.walk(folder, onerror=note):
        within = Path(above)
        folders[:] = [one for one in folders if os.path.abspath(within / one) not in apart]  # noqa: PTH100
        found += [(within / one, "a link to a folder, which is not followed: name it") for one in folders
                  if (within / one).is_symlink()]  # fmt: skip
        found += [(within / one, "") for one in files
                  if Path(one).suffix.lower() in suffixes and os.path.abspath(within / one) not in apart]  # noqa: PTH100  # fmt: skip
    for path, problem in sorted(found):
        read = partial(_refuse, f"{path}: {problem}") if problem else partial(_read_regular, path)
        yield Input(_text(str(path)), PurePosixPath(_text(str(path.relative_to(folder)))), read)


def _read_regular(path: Path) -> bytes:
    """Read a file of a folder; waiting for a pipe's writer would never end."""
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(f"{path}: the link leads to {path.readlink()}, which is not there")
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path}: not a regular file")
    return path.read_bytes()


def _refuse(problem: str) -> bytes:
    raise OSError(problem)


def _text(name: str) -> str:
    """A name as text that can be written; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
