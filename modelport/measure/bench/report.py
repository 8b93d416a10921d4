"""Output: tables, results.json and the history of runs."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exporters.table import table
from modelport.measure.bench.figures import Point, Row
from modelport.measure.bench.reach import AT_MOST, Verdict

COLUMNS = (
    "case",
    "system",
    "protocol",
    "at once",
    "req/s",
    "IQR",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "CPU ms",
    "caller",
    "others",
    "answers",
    "failed",
)


def figures_table(rows: Iterable[Row]) -> str:
    """The table of all settings, with medians over the rounds."""
    return table([COLUMNS, *[_cells(row) for row in rows]])


def line(point: Point) -> str:
    """A point in one line, printed as soon as it is measured."""
    times = f"p50 {point.p50_ms:7.1f} ms  p99 {point.p99_ms:7.1f} ms  pace {point.pace_ms:.1f} ms"
    return (
        f"round {point.round + 1}  {point.case:11} {point.system:10} {point.protocol:13} x{point.concurrency:<3}"
        f"{point.rate:9.1f}/s  {times}  others {point.other_cpu:4.0%}"
        + (f"  FAILED {dict(point.failures)}" if point.failed else "")
    )


def reach_table(verdicts: Sequence[Verdict]) -> str:
    """The table of goals and what was measured."""
    words = {True: "reached", False: "MISSED", None: "not measured"}
    body = [
        (
            verdict.reach.case,
            verdict.reach.figure,
            f"{'<=' if verdict.reach.figure in AT_MOST else '>='} {verdict.reach.goal:g}",
            _number(verdict.value),
            _number(verdict.by_cpu),
            words[verdict.reached],
        )
        for verdict in verdicts
    ]
    return table([("case", "figure", "goal", "measured", "by CPU time", ""), *body])


def change_table(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The table of throughput and p50 in two entries of the history, for settings of both."""
    body = []
    for setting in after["rows"]:
        if setting in before["rows"]:
            (rate, p50), (old_rate, old_p50) = after["rows"][setting], before["rows"][setting]
            change = (f"{old_rate:.1f}", f"{rate:.1f}", f"{rate / old_rate - 1:+.0%}" if old_rate else "-")
            body.append((setting, *change, f"{old_p50:.1f}", f"{p50:.1f}"))
    return table([("setting", "req/s before", "now", "change", "p50 ms before", "now"), *body])


class History:
    """A file with a line of JSON for each run.

    Args:
        file: its path.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def find(self, commit: str | None) -> dict[str, Any] | None:
        """The latest run of a commit, or of any."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        entries: list[dict[str, Any]] = [json.loads(text) for text in lines]
        known = [entry for entry in entries if commit is None or entry["commit"].rstrip("+") == commit]
        return known[-1] if known else None

    @staticmethod
    def entry(at: str, commit: str, rows: Iterable[Row]) -> dict[str, Any]:
        """A run as an entry."""
        kept = {
            f"{r.case} {r.system} {r.protocol} x{r.concurrency}": [round(r.rate.median, 2), round(r.p50_ms.median, 2)]
            for r in rows
        }
        return {"at": at, "commit": commit, "rows": kept}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry."""
        with self._file.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def results(facts: Mapping[str, Any], points: Sequence[Point], rows: Sequence[Row], verdicts: Sequence[Verdict]) -> str:
    """The content of results.json: null where nothing was measured."""
    document = {
        **facts,
        "reach": [
            {**dataclasses.asdict(v.reach), "measured": v.value, "by_cpu": v.by_cpu, "reached": v.reached}
            for v in verdicts
        ],
        "rows": [dataclasses.asdict(row) for row in rows],
        "points": [dataclasses.asdict(point) for point in points],
    }
    return json.dumps(_without_nan(document), indent=1, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _cells(row: Row) -> tuple[str, ...]:
    times = (row.p50_ms.median, row.p95_ms.median, row.p99_ms.median, row.server_cpu_ms.median)
    return (
        row.case,
        row.system,
        row.protocol,
        str(row.concurrency),
        f"{row.rate.median:.1f}",
        f"{row.rate.iqr:.1f}",
        *(f"{time:.1f}" for time in times),
        f"{row.caller_cpu:.0%}",
        f"{row.other_cpu:.0%}",
        str(row.requests),
        str(row.failed),
    )
