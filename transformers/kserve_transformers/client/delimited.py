"""Delimited text as columns of numbers. `page/series.js` is the same algorithm, with the same cases in its tests.

What can be read in more than one way is refused: no series is ever a guess.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_MISSING = frozenset(("", "-", "--", "?", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "nat"))
_INDEX_NAMES = (
    "unnamed index idx id nr no row line date datetime day month year hour minute second seconds time timestamp epoch "
    "t zeit zeitstempel zeitpunkt datum uhrzeit tag monat jahr stunde sekunde"
)
_OTHER = {".": ",", ",": "."}
_PLAIN = {
    ".": re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ",": re.compile(r"[+-]?[0-9]*(?:,?[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}
_GROUPED = {
    mark: re.compile(
        rf"[+-]?[1-9][0-9]{{0,2}}([{other} \u00a0\u202f\u2009'’])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[{mark}][0-9]+)?"
    )
    for mark, other in _OTHER.items()
}
_SHOWN = 20  # characters of a cell in an error
_FEW_ROWS = 8  # below, one number that differs from the others is no sign of a header

_Row = tuple[int, list[str]]
_Cell = tuple[int, str]


class SeriesError(ValueError):
    """The text is no series, or can be read in more than one way; the message names line and column."""


class _UnclearError(SeriesError):
    """The decimal mark is unclear: this way to read the text is not ruled out."""


@dataclass(frozen=True)
class Column:
    """One column of a table; a line of numbers is one, too."""

    name: str | None  # from the header; None where there is none
    label: str  # what errors call it
    cells: Sequence[_Cell]  # line number and text, without the header
    decimal: str  # the decimal mark

    def is_numeric(self) -> bool:
        return _is_numeric([cell for _, cell in self.cells], self.decimal)

    def is_index(self, first: bool) -> bool:
        """Whether it counts or times the rows: by its name, or as the first column with a constant step."""
        if self.name is not None and (self.name == "" or _is_index_name(self.name)):
            return True
        return first and self.is_ramp()

    def is_ramp(self) -> bool:
        values = [_number(cell, self.decimal) for _, cell in self.cells]
        numbers = [value for value in values if value is not None]
        if len(numbers) < max(3, len(values)):
            return False
        step = numbers[1] - numbers[0]
        return step > 0 and all(abs(after - before - step) <= step / 1000 for before, after in pairwise(numbers))

    def values(self) -> list[float]:
        line, first = self.cells[0]
        if self.name is not None:
            line, first = line - 1, self.name
        if self._is_unclear(first):
            raise SeriesError(
                f"line {line}: {_quoted(first)} may be the column's name or its first number: remove it, or put "
                "a line of names above it"
            )
        return [self._value(at, line, cell) for at, (line, cell) in enumerate(self.cells, start=1)]

    def _value(self, at: int, line: int, cell: str) -> float:
        place = f"line {line}, {self.label or f'number {at}'}"
        if _is_missing(cell):
            raise SeriesError(
                f"{place}: the value is missing ({cell or 'empty'}): fill it, or send a part without gaps"
            )
        value = _number(cell, self.decimal)
        if value is None:
            raise SeriesError(f"{place}: {_quoted(cell)} is not a number")
        if not math.isfinite(value):
            raise SeriesError(f"{place}: {_quoted(cell)} is too large for a number")
        return value

    def _is_unclear(self, first: str) -> bool:
        """Whether a first line may be a name as well as a number, such as a year or pandas' 0."""
        whole = re.fullmatch("[0-9]+", first) is not None
        if self.name is not None:
            return not whole and _number(first, self.decimal) is not None
        rest = [cell for _, cell in self.cells[1:]]
        numbers = [number for cell in rest if (number := _number(cell, self.decimal)) is not None]
        if not whole or not numbers or not self.label:
            return False
        alike = sum(re.fullmatch("[+-]?[0-9]+", cell) is not None for cell in rest)
        far = max(min(numbers) - int(first), int(first) - max(numbers)) > max(numbers) - min(numbers)
        year = 1900 <= int(first) <= 2100
        if year or self.label == f"column {int(first) + 1}":
            return far or 10 * alike <= len(rest) or (year and not 1900 <= numbers[0] <= 2100)
        return not alike and len(rest) >= _FEW_ROWS


def read_columns(text: str) -> list[Column]:
    """The columns in the one way in which a text can be read."""
    lines = [(number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1)]
    lines = [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
    declared = re.fullmatch(r'"?sep=(.)"?', lines[0][1].strip(), re.IGNORECASE) if lines else None
    if declared:
        lines = lines[1:]
    if not lines:
        raise SeriesError("the series is empty: there are no numbers")
    # behind a value, and not in the header, whose names may contain it
    lines[1:] = [(number, line if '"' in line else re.sub(" #(?!N/A).*", "", line)) for number, line in lines[1:]]
    if declared:
        return _table(lines, declared[1])[1]
    for mark in "\t;|":
        if _parts(lines, mark):
            columns = _table(lines, mark)[1]
            if any(column.is_numeric() for column in columns):
                return columns
    return _weakly_parted(lines)


def _weakly_parted(lines: Sequence[tuple[int, str]]) -> list[Column]:
    """Commas and white space are within numbers, too: every reading is tried, and two that are as good are refused."""
    readings, errors = [], []
    for mark in (",", " ", ""):
        if (mark and not _parts(lines, mark)) or _is_torn(lines, mark):
            continue
        try:
            named_rows, columns = _table(lines, mark)
        except _UnclearError:
            raise
        except SeriesError as exc:
            errors.append(exc)
            continue
        numeric = sum(column.is_numeric() for column in columns)
        if numeric:
            readings.append((named_rows, numeric < len(columns), mark, columns))
    if not readings:
        raise errors[0] if errors else SeriesError("no column holds numbers")
    best = [reading for reading in readings if reading[0] == min(one[0] for one in readings)]
    if not all(reading[1] for reading in best):
        best = [reading for reading in best if not reading[1]]
    bare = best[-1][2] == "" and best[-1][3][0].name is None
    if len(best) > 1 or (bare and len(lines) > 1 and all(len(_split(line, ",")) > 1 for _, line in lines[:-1])):
        number, line = lines[min(1, len(lines) - 1)]
        raise SeriesError(
            f"line {number}: {_quoted(line)} can be read as one number and as two cells: separate cells by "
            "semicolons, or put a line of names above them"
        )
    return best[0][3]


def _is_torn(lines: Sequence[tuple[int, str]], mark: str) -> bool:
    """White space beside commas belongs to them, and a first line with commas that are in no number has more names."""
    if mark == " " and any(re.search(r",\s|\s,", line.strip()) for _, line in lines):
        return True
    cells = _split(lines[0][1], mark) if mark != "," else []
    return any(_number(cell, ".") is _number(cell, ",") is None and len(_split(cell, ",")) > 1 for cell in cells)


def _parts(lines: Sequence[tuple[int, str]], mark: str) -> bool:
    body = lines[1:] or lines
    return 2 * sum(len(_split(line, mark)) > 1 for _, line in body) > len(body)


def _split(line: str, mark: str) -> list[str]:
    """The cells of a line; white space parts them where the mark is a blank, nothing where it is empty."""
    if mark == " ":
        found = [match[1] if match[1] is not None else match[0] for match in re.finditer(r'"([^"]*)"(?!\S)|\S+', line)]
        return [cell.strip() for cell in found]
    cell = re.compile(
        rf' *"((?:[^"]|"")*)" *(?={re.escape(mark)}|$)|[^{re.escape(mark)}]*' if mark else r'\s*"([^"]*)"\s*$|.*'
    )
    cells, at = [], 0
    while at <= len(line):
        match = cell.match(line, at)
        assert match is not None  # noqa: S101 (it matches nothing, too)
        cells.append((match[0] if match[1] is None else match[1].replace('""', '"')).strip())
        at = match.end() + 1
    return cells


def _table(lines: Sequence[tuple[int, str]], mark: str) -> tuple[bool, list[Column]]:
    """The columns, and whether the header lacks the name of the first one, as in R's tables."""
    rows: list[_Row] = [(number, _split(line, mark)) for number, line in lines]
    head, body = rows[0][1], rows[1:] or rows
    width = len(body[0][1])
    if width > 1 and all(cells[-1] == "" for _, cells in body) and (len(head) < width or head[-1] == ""):
        rows = [(number, cells[: width - 1]) for number, cells in rows]
        head, body, width = rows[0][1], rows[1:] or rows, width - 1
    if len(rows) == 1:
        cells = [(rows[0][0], cell) for cell in head]
        return False, [Column(None, "", cells, _decimal_mark(rows, mark))]
    for number, row in body:
        if len(row) != width:
            raise SeriesError(f"line {number} has {len(row)} cells, line {body[0][0]} has {width}")
    unequal = SeriesError(f"line {rows[0][0]} has {len(head)} cells, line {body[0][0]} has {width}")
    short = len(head) == width - 1 and width > 1
    if len(head) != width and not short:
        raise unequal
    decimal = _decimal_mark(rows, mark)
    names = ["", *head] if short else head  # R's tables do not name the rows
    named = short or any(_is_name(at, name, [cells[at] for _, cells in body], decimal) for at, name in enumerate(names))
    columns = [
        Column(
            name if named else None,
            f"column {name}" if named else f"column {at + 1}",
            [(number, cells[at]) for number, cells in (body if named else rows)],
            decimal,
        )
        for at, name in enumerate(names)
    ]
    counted = not columns[0].is_numeric() or columns[0].is_ramp()
    if short and not (counted and (mark != "," or _proves_point(body))):  # decimal commas make more cells, too
        raise unequal
    return short, columns


def _is_name(at: int, first: str, rest: Sequence[str], decimal: str) -> bool:
    """Whether a column's first cell cannot be of the kind of the others."""
    if first == "":
        return at == 0 and "" not in rest  # as pandas names an index
    if _is_missing(first) or _number(first, decimal) is not None:
        return False
    # "Day 1" above "Day 2", or a time with its T, is a cell like the others
    alike = re.search("[0-9]", first) is not None and _words(first) == _words(rest[0])
    return (_is_index_name(first) and not alike) or _is_numeric(rest, decimal)


def _decimal_mark(rows: Sequence[_Row], mark: str) -> str:
    """The mark that some cell proves: 1,5 a comma, 1,234.5 a point; 1,234 proves neither."""
    cells = [(number, cell) for number, row in rows for cell in row]
    proofs = {}
    for own, other in _OTHER.items():
        proofs[own] = next(
            (one for one in cells if _number(one[1], own) is not None and _number(one[1], other) is None), None
        )
    point, comma = proofs["."], proofs[","]
    if point and comma:
        raise SeriesError(
            f"line {comma[0]}: {_quoted(comma[1])} has a decimal comma, "
            f"line {point[0]}: {_quoted(point[1])} a decimal point"
        )
    if point or comma:
        return "." if point else ","
    unclear = [(number, cell) for number, cell in cells if "," in cell and _number(cell, ",") is not None]
    if unclear and (mark != ";" or any("." in cell and _number(cell, ".") is not None for _, cell in cells)):
        number, cell = unclear[0]
        raise _UnclearError(
            f"line {number}: {_quoted(cell)} has a decimal comma or a comma between thousands: write it without"
        )
    return "," if unclear else "."


def _proves_point(rows: Sequence[_Row]) -> bool:
    return any(_number(cell, ".") is not None and _number(cell, ",") is None for _, row in rows for cell in row)


def _number(cell: str, decimal: str) -> float | None:
    cell = cell.replace("\u2212", "-")
    if not _PLAIN[decimal].fullmatch(cell):
        grouped = _GROUPED[decimal].fullmatch(cell)
        if not grouped:
            return None
        cell = cell.replace(grouped[1], "")
    return float(cell.replace(decimal, "."))


def _is_numeric(cells: Sequence[str], decimal: str) -> bool:
    """Whether most of what is there are numbers."""
    present = [cell for cell in cells if not _is_missing(cell)]
    return 2 * sum(_number(cell, decimal) is not None for cell in present) > len(present)


def _is_index_name(name: str) -> bool:
    words = _words(name)
    return bool(words) and words[0] in _INDEX_NAMES.split()


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def _is_missing(cell: str) -> bool:
    return cell.lower() in _MISSING


def _quoted(text: str) -> str:
    return f"'{text.strip()[:_SHOWN]}'"
