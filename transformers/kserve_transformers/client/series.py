"""Series of numbers from a file, and their windows. `page/series.js` is the same algorithm."""

import codecs
import json
import re
import sys
from collections.abc import Sequence

from kserve_transformers.client.delimited import Column, SeriesError, read_columns

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_series(data: bytes, column: str | None = None) -> list[float]:
    """The numbers of a series.

    Args:
        data: a JSON list of numbers; numbers in one line or one a line; or delimited text with or without a header. In
            UTF-8, UTF-16 with a byte order mark, or Windows-1252.
        column: of the text, by name or counted from 1. None: the only column of numbers that is no index.

    Raises:
        SeriesError: it is none of these, a value is missing, or it can be read in more than one way.
    """
    text = _decode(data)
    if re.fullmatch(r"[\[{].*[\]}]", text.strip(), re.DOTALL):
        return _from_json(text)
    return _choose(read_columns(text), column).values()


def cut_windows(series: Sequence[float], length: int) -> dict[int, list[float]]:
    """Windows by where they start: one behind the other; the last one ends with the series, and may overlap.

    Raises:
        SeriesError: the series is shorter than a window.
    """
    if len(series) < length:
        raise SeriesError(f"the series has {len(series)} numbers; the model's windows take {length}")
    starts = [*range(0, len(series) - length, length), len(series) - length]
    return {start: list(series[start : start + length]) for start in starts}


def _decode(data: bytes) -> str:
    bom, encoding = next(((bom, name) for bom, name in _BOMS if data.startswith(bom)), (b"", "utf-8"))
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError:
        text = "\0" if bom else data.decode("cp1252", "replace")
    if "\0" in text:
        raise SeriesError("it is not text: send UTF-8, or UTF-16 with a byte order mark")
    return text


def _from_json(text: str) -> list[float]:
    try:
        numbers = json.loads(text)
    except ValueError:
        numbers = None
    if not isinstance(numbers, list):
        raise SeriesError("the JSON is malformed: send one list of numbers")
    for place, number in enumerate(numbers, start=1):
        if type(number) not in (int, float):
            raise SeriesError(f"number {place} of the JSON list is not a number: send one list of numbers")
        if not abs(number) <= sys.float_info.max:
            raise SeriesError(f"number {place} of the JSON list is not finite")
    return [float(number) for number in numbers]


def _choose(columns: Sequence[Column], wanted: str | None) -> Column:
    names = ", ".join(column.name or f"column {at}" for at, column in enumerate(columns, start=1))
    if wanted is not None:
        found = [column for column in columns if column.name == wanted]
        if not found and wanted.isdecimal() and 1 <= int(wanted) <= len(columns):
            found = [columns[int(wanted) - 1]]
        if len(found) != 1:
            raise SeriesError(f"{len(found) or 'no'} columns are called '{wanted}': there are {names}")
        return found[0]
    if len(columns) == 1:
        return columns[0]
    numeric = [(at, column) for at, column in enumerate(columns) if column.is_numeric()]
    found = [column for at, column in numeric if not column.is_index(at == 0)]
    if len(found) != 1:
        what = "more than one column holds numbers" if found else "no column holds numbers, beside times and counts"
        raise SeriesError(f"{what}: say which of {names} with --column")
    return found[0]
