"""Results in files: JSON lines as the service answers, or flat rows as CSV or Parquet.

In a flat table a file has one row for each box, label or window that was answered, and one row where there is none. The
columns of the answer stand behind file, service, parameters, ms and thread; `error` is null where there is an answer.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kserve_transformers.client.results import Request, Row

_COMMON = ("file", "service", "parameters", "ms", "thread")
_BOX = ("x", "y", "width", "height")
_DETECTION = ("label", "confidence", *_BOX)
# Of the columns that may be without a value in a whole file, so that all files of a run have one schema.
_KINDS: Mapping[str, type] = {
    "parameters": str,
    "error": str,
    "label": str,
    "confidence": float,
    "score": float,
    **dict.fromkeys(_BOX, int),
    "ms": float,
    "mae": float,
    "threshold": float,
}


class FormatError(ValueError):
    """A file holds no results, or needs a package that is missing; the message says what to do."""


class JsonLines:
    """One JSON object a line."""

    suffix = ".jsonl"

    def encode(self, rows: Sequence[Row]) -> bytes:
        """The content of a file with these records."""
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    def decode(self, content: bytes) -> list[Row]:
        """The records in a file. See FormatError."""
        try:
            rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        except ValueError as exc:
            raise FormatError("it is not JSON lines") from exc
        return _checked(rows)

    def rows(self, record: Row) -> list[Row]:
        """A record as it is written."""
        return [record]


class Csv:
    """Comma-separated values in UTF-8, with a header."""

    suffix = ".csv"

    def encode(self, rows: Sequence[Row]) -> bytes:
        """The content of a file with these rows."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
        return text.getvalue().encode()

    def decode(self, content: bytes) -> list[Row]:
        """The rows in a file. See FormatError."""
        try:
            reader = csv.DictReader(io.StringIO(content.decode(), newline=""))
            rows: list[Row] = list(reader)
        except (UnicodeDecodeError, csv.Error) as exc:
            raise FormatError("it is not CSV") from exc
        if not {"file", "service"} <= set(reader.fieldnames or ()):
            raise FormatError("its header is not that of results: file, service, ...")
        return _checked([{name: value or None for name, value in row.items()} for row in rows])

    def rows(self, record: Row) -> list[Row]:
        """A record as flat rows."""
        return _flat(record)


class Parquet:
    """Apache Parquet, by arro3."""

    suffix = ".parquet"

    def __init__(self) -> None:
        try:
            import arro3.core
            import arro3.io
        except ImportError as exc:
            raise FormatError(
                "Parquet needs the packages arro3-core and arro3-io: pip install arro3-core arro3-io"
            ) from exc
        self._core, self._io = arro3.core, arro3.io

    def encode(self, rows: Sequence[Row]) -> bytes:
        """The content of a file with these rows."""
        types = {str: self._core.DataType.string(), int: self._core.DataType.int64(), bool: self._core.DataType.bool(),
                 float: self._core.DataType.float64()}  # fmt: skip
        columns: dict[str, Any] = {}
        for name in _columns(rows):
            values = [row.get(name) for row in rows]
            kind = _kind(name, values)
            columns[name] = self._core.Array([None if one is None else kind(one) for one in values], types[kind])
        file = io.BytesIO()
        self._io.write_parquet(self._core.Table.from_pydict(columns), file)
        return file.getvalue()

    def decode(self, content: bytes) -> list[Row]:
        """The rows in a file. See FormatError."""
        if not (content.startswith(b"PAR1") and content.endswith(b"PAR1")):
            raise FormatError("it is not Parquet")
        table = self._io.read_parquet(io.BytesIO(content)).read_all()
        columns = [[value.as_py() for value in iter(table[name])] for name in table.column_names]
        return _checked([dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)])

    def rows(self, record: Row) -> list[Row]:
        """A record as flat rows."""
        return _flat(record)


Format = JsonLines | Csv | Parquet
FORMATS: Mapping[str, type[Format]] = {"jsonl": JsonLines, "csv": Csv, "parquet": Parquet}


def answered(rows: Sequence[Row], request: Request) -> set[str]:
    """The files that have an answer in an earlier run's results.

    Raises:
        FormatError: they are another request's.
    """
    for row in rows:
        parameters = row.get("parameters") or {}
        if isinstance(parameters, str):
            parameters = json.loads(parameters)
        if (row["service"], parameters) != (request.service, dict(request.parameters)):
            other = Request(str(row["service"]), parameters)
            raise FormatError(f"it holds results of {other}, not of {request}: choose another --out")
    return {row["file"] for row in rows if row.get("error") is None}


def _checked(rows: Sequence[Any]) -> list[Row]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not isinstance(row.get("file"), str):
            raise FormatError(f"entry {number} is no result of this client")
        if not isinstance(row.get("service"), str):
            raise FormatError(f"entry {number} does not say which service answered: an older client wrote it")
    return list(rows)


def _flat(record: Row) -> list[Row]:
    common: Row = {name: record.get(name) for name in _COMMON}
    common["parameters"] = json.dumps(record["parameters"]) if "parameters" in record else None
    if "error" in record:
        return [{**common, "error": record["error"]}]
    answer = record["answer"]
    single = {} if isinstance(answer, list) else {name: one for name, one in answer.items() if _is_cell(one)}
    lists = [answer] if isinstance(answer, list) else [one for one in answer.values() if isinstance(one, list)]
    found: list[Row] = [_finding(one) for one in (lists[0] if lists else [])]
    if not found:
        found = [dict.fromkeys(_DETECTION)] if isinstance(answer, dict) and "detections" in answer else [{}]
    return [{**common, **single, **one, "error": None} for one in found]


def _finding(found: Mapping[str, Any]) -> Row:
    box = dict(zip(_BOX, found["bbox"], strict=True)) if "bbox" in found else {}
    return {**{name: value for name, value in found.items() if _is_cell(value)}, **box}


def _is_cell(value: object) -> bool:
    return not isinstance(value, list | dict)


def _columns(rows: Sequence[Row]) -> list[str]:
    """The columns in the order in which they appear; `error` is the last."""
    names = dict.fromkeys(name for row in rows for name in row if name != "error")
    return [*names, "error"]


def _kind(name: str, values: Sequence[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    if name in _KINDS and kinds <= {_KINDS[name], int}:
        return _KINDS[name]
    if len(kinds) == 1 and kinds <= {str, int, bool, float}:
        return kinds.pop()
    return float if kinds == {int, float} else str


def _csv_cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
