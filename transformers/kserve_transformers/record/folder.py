"""Records to a folder: SERVICE/DATE/HH-WRITER-NUMBER.jsonl, within limits on days and bytes.

No file is written by two processes, or opened again. A process that is killed while it writes leaves whole lines, and
at most a torn last one.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

SUFFIX = ".jsonl"
FILE_BYTES = 64 * 1024 * 1024
_SWEEP_S = 60.0


@dataclass
class _File:
    path: Path
    hour: str
    descriptor: int
    size: int = 0


class FolderSink:
    """A folder of JSON lines.

    Args:
        folder: is made where it is missing.
        days: after which a file is removed.
        max_bytes: of all files below the folder: the oldest are removed.
    """

    interval_s = 1.0
    batch_bytes = 4 * 1024 * 1024

    def __init__(self, folder: Path, days: float, max_bytes: int) -> None:
        self._folder = folder
        self._days = days
        self._max_bytes = max_bytes
        self._file_bytes = max(1, min(FILE_BYTES, max_bytes // 8))
        self._writer = uuid.uuid4().hex[:8]
        self._number = 0
        self._open: dict[str, _File] = {}
        self._swept = float("-inf")
        self._since_swept = 0

    def write(self, service: str, events: Sequence[bytes]) -> None:
        """Append events to the service's file of this hour. See Sink.

        Raises:
            OSError: they cannot be written; nothing of them is left.
        """
        data = b"".join(events)
        if time.monotonic() > self._swept + _SWEEP_S or self._since_swept > self._file_bytes:
            self._sweep()
        file = self._file(service, len(data))
        try:
            _write_all(file.descriptor, data)
        except OSError:
            try:
                os.ftruncate(file.descriptor, file.size)
            except OSError:
                self._close(service)  # its torn end stays its end
            raise
        file.size += len(data)
        self._since_swept += len(data)

    def _file(self, service: str, size: int) -> _File:
        """The file to append to: a new one with each hour, when it is large, and where it was removed."""
        date, hour = datetime.now(UTC).strftime("%Y-%m-%d %H").split()
        file = self._open.get(service)
        if file and (
            file.hour != f"{date}/{hour}"
            or (file.size and file.size + size > self._file_bytes)
            or not os.fstat(file.descriptor).st_nlink
        ):
            self._close(service)
            file = None
        if file is None:
            folder = self._folder / service / date
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._number += 1
            path = folder / f"{hour}-{self._writer}-{self._number:04}{SUFFIX}"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)
            file = self._open[service] = _File(path, f"{date}/{hour}", descriptor)
        return file

    def _close(self, service: str) -> None:
        with contextlib.suppress(OSError):
            os.close(self._open.pop(service).descriptor)

    def _sweep(self) -> None:
        """Remove files that are too old, then the oldest of too many bytes; never one that is being written here."""
        self._swept, self._since_swept = time.monotonic(), 0
        ours = {file.path for file in self._open.values()}
        found = []
        for path in self._folder.rglob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total, oldest = sum(size for _, size, _ in found), time.time() - self._days * 86400
        room = self._max_bytes - 2 * self._file_bytes  # for what is written until the next time
        for written, size, path in sorted(found):
            if path not in ours and (written < oldest or total > room):
                path.unlink(missing_ok=True)
                total -= size
                with contextlib.suppress(OSError):  # not empty
                    path.parent.rmdir()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
