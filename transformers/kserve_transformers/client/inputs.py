"""What the client sends: the files that a command line names, and the windows of a series."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kserve_transformers.arrays.images.formats import SUFFIXES

STDIN = "-"
IMAGES = SUFFIXES
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


def read_series(data: bytes, column: str | None = None) -> list[float]:
    """The numbers of a series.

    Args:
        data: a JSON list of numbers, or CSV with or without a line of names.
        column: of the CSV, by name; the last one where none is named.

    Raises:
        ValueError: it is neither; the message says what to send.
    """
    text = data.decode("utf-8-sig", "replace").strip()
    if text.startswith("["):
        numbers = json.loads(text)
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("the JSON must be one list of numbers")
        return [float(number) for number in numbers]
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows:
        raise ValueError("the series is empty")
    place = -1
    if column is not None:
        if column not in rows[0]:
            raise ValueError(f"no column {column!r}: there are {', '.join(rows[0])}")
        place = rows[0].index(column)
    if column is not None or not _is_number(rows[0][place]):
        rows = rows[1:]
    return [float(row[place]) for row in rows]


def cut_windows(series: Sequence[float], length: int) -> dict[int, list[float]]:
    """Windows by where they start: one behind the other; the last one ends with the series, and may overlap.

    Raises:
        ValueError: the series is shorter than a window.
    """
    if len(series) < length:
        raise ValueError(f"the series has {len(series)} numbers; the model's windows take {length}")
    starts = [*range(0, len(series) - length, length), len(series) - length]
    assert all(before < after for before, after in pairwise(starts))  # noqa: S101
    return {start: list(series[start : start + length]) for start in starts}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
