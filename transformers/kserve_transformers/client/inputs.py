"""What the client sends: the files that a command line names, and the windows of a series."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STDIN = "-"
IMAGES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
SERIES = frozenset((".csv", ".json"))


@dataclass(frozen=True)
class Input:
    """One file, or standard input.

    Attributes:
        name: as it stands in the results.
        relative: its place below the folder that was named; its own name otherwise.
    """

    name: str
    relative: Path

    def read(self) -> bytes:
        """All bytes."""
        return sys.stdin.buffer.read() if self.name == STDIN else Path(self.name).read_bytes()


def find_inputs(named: Sequence[str], suffixes: frozenset[str]) -> Iterator[Input]:
    """The files that were named, in order; of folders all with a fitting suffix, by name.

    Raises:
        FileNotFoundError: there is no such file or folder.
    """
    for name in named:
        path = Path(name)
        if name == STDIN:
            yield Input(STDIN, Path("stdin"))
        elif path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in suffixes and file.is_file():
                    yield Input(str(file), file.relative_to(path))
        elif path.exists():
            yield Input(name, Path(path.name))
        else:
            raise FileNotFoundError(f"{name}: no such file or folder")
