"""Where results go: standard output, a file of JSON lines, one table, or parts in a folder. Answers there are kept."""

import contextlib
import fcntl
import os
import re
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from kserve_transformers.client.formats import FORMATS, Format, FormatError, JsonLines, answered
from kserve_transformers.client.results import Request, Result, Row
from kserve_transformers.client.storage import Folder, is_url, open_folder

PART_FILES = 1000  # results of a part
PART_S = 60.0  # after which a part is written, however small
_SUFFIXES = {".json": "jsonl", ".ndjson": "jsonl", **{f".{name}": name for name in FORMATS}}
_PART = re.compile(r"part-(?:(\d+)-of-(\d+)-)?(\d+)\.(\w+)")

Shard = tuple[int, int]


class Output(Protocol):
    """Takes results one by one. `answered` are the files that had an answer before this run."""

    answered: set[str]

    def add(self, result: Result) -> None:
        """Take a result; it is written now or soon."""

    def close(self) -> None:
        """Write what has not been written."""


def open_output(out: str | None, format_name: str | None, shard: Shard | None, request: Request) -> Output:
    """The output that a command line names.

    Args:
        out: path or URL of a file, or of a folder, which ends with a slash or is there; None for standard output.
        format_name: a key of FORMATS. None: by the file's suffix; Parquet in folders.
        shard: which one of how many, where several clients share the inputs.
        request: of this run.

    Raises:
        OSError, FormatError: it cannot be written, or holds something else.
    """
    if out is None:
        if format_name not in (None, "jsonl"):
            raise FormatError(f"--format {format_name} needs --out")
        return Lines(sys.stdout.buffer, request)
    path = PurePosixPath(out)
    if out.endswith("/") or (path.suffix not in _SUFFIXES and is_url(out)) or (not is_url(out) and Path(out).is_dir()):
        return Parts(open_folder(out), FORMATS[format_name or "parquet"](), shard, request)
    if shard:
        raise FormatError(f"--shard writes parts: let --out end with a slash to name a folder, {out}/")
    chosen = format_name or _SUFFIXES.get(path.suffix, "jsonl")
    if chosen == "jsonl" and not is_url(out):
        return _appended(Path(out), request)
    folder = out.rpartition("/")[0] if is_url(out) else str(Path(out).parent)
    return Table(open_folder(folder), path.name, FORMATS[chosen](), request)


class Lines:
    """JSON lines, written as the results come.

    Args:
        file: open for binary writing.
        request: of this run.
        known: the files that have an answer in it.
    """

    def __init__(self, file: BinaryIO, request: Request, known: set[str] | None = None) -> None:
        self.answered = known or set()
        self._file = file
        self._request = request

    def add(self, result: Result) -> None:
        """Write a line."""
        self._file.write(JsonLines().encode([self._request.record(result)]))
        self._file.flush()

    def close(self) -> None:
        """Close the file, unless it is standard output."""
        if self._file is not sys.stdout.buffer:
            self._file.close()


def _appended(path: Path, request: Request) -> Lines:
    """The lines of an earlier run are kept; one that was cut off is taken away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab+")
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return Lines(file, request)
        _lock(file, path)
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        torn = not whole and content.startswith(b'{"file": ')
        known = _known(JsonLines(), content if not (whole or torn) else whole, str(path), request)
        file.truncate(len(whole))
    except BaseException:
        file.close()
        raise
    return Lines(file, request, known)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FormatError(f"{path}: another client writes to it now") from None


def _known(used: Format, content: bytes, address: str, request: Request) -> set[str]:
    try:
        return answered(used.decode(content), request)
    except FormatError as exc:
        raise FormatError(f"{address}: {exc}") from exc


class _Buffered:
    """Gathers results, and writes them when there are many, when time has passed, and at the end."""

    def __init__(self, request: Request) -> None:
        self.answered: set[str] = set()
        self._request = request
        self._waiting: list[Row] = []
        self._written = time.monotonic()

    def add(self, result: Result) -> None:
        """Take a result; it is written with others."""
        self._waiting.append(self._request.record(result))
        if len(self._waiting) >= PART_FILES or time.monotonic() - self._written >= PART_S:
            self._flush()

    def close(self) -> None:
        """Write what has not been written."""
        if self._waiting:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._write(waiting)
        self._written = time.monotonic()

    def _write(self, records: Sequence[Row]) -> None:
        raise NotImplementedError


class Table(_Buffered):
    """One file, which is written anew each time. Of an earlier run the answers are kept, and the errors dropped.

    Args:
        folder: where it is.
        name: its name.
        used: its format.
        request: of this run.
    """

    def __init__(self, folder: Folder, name: str, used: Format, request: Request) -> None:
        super().__init__(request)
        self._folder, self._name, self._format = folder, name, used
        self._rows: list[Row] = []
        with contextlib.suppress(FileNotFoundError):
            content = folder.read(name)
            self.answered = _known(used, content, folder.address + name, request)
            self._rows = [row for row in used.decode(content) if row.get("error") is None]

    def _write(self, records: Sequence[Row]) -> None:
        self._rows += [row for record in records for row in self._format.rows(record)]
        self._folder.write(self._name, self._format.encode(self._rows))


class Parts(_Buffered):
    """Parts in a folder, each written whole or not at all and never over another one.

    Parts hold answers, each file's once. The errors of the latest run are in a file of their own, errors*.

    Args:
        folder: where they are.
        used: the format of new parts; older ones may have another.
        shard: of this client; None where it is alone.
        request: of this run.
    """

    def __init__(self, folder: Folder, used: Format, shard: Shard | None, request: Request) -> None:
        super().__init__(request)
        self._folder, self._format = folder, used
        self._label = f"{shard[0]:04d}-of-{shard[1]:04d}" if shard else ""
        self._next, self._errors = 0, list[Row]()
        for name in folder.names():
            found = _PART.fullmatch(name)
            if not found or found[4] not in FORMATS:
                continue
            index, shards, number, suffix = found.groups()
            own = (index and (int(index), int(shards))) == (shard or None)
            if own:
                self._next = max(self._next, int(number) + 1)
            if own or not (shards and shard) or int(shards) != shard[1]:  # others' parts cannot hold this shard's files
                self.answered |= _known(FORMATS[suffix](), folder.read(name), folder.address + name, request)

    def close(self) -> None:
        """Write the last part, and the errors."""
        super().close()
        name = "-".join(filter(None, ("errors", self._label))) + self._format.suffix
        if self._errors:
            self._folder.write(name, self._format.encode(self._errors))
        else:
            self._folder.remove(name)

    def _write(self, records: Sequence[Row]) -> None:
        rows = [row for record in records for row in self._format.rows(record)]
        self._errors += [row for row in rows if row.get("error") is not None]
        answers = [row for row in rows if row.get("error") is None]
        if answers:
            name = "-".join(filter(None, ("part", self._label, f"{self._next:06d}"))) + self._format.suffix
            try:
                self._folder.write(name, self._format.encode(answers), overwrite=False)
            except FileExistsError as exc:
                raise FormatError(f"{self._folder.address}{name}: another client writes this shard now") from exc
            self._next += 1
