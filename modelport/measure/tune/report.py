"""The results of a search: a table, JSON and CSV."""

import csv
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exporters.table import table
from modelport.measure.bench.figures import Spread
from modelport.measure.tune.judging import Judge, Rounds, p99_ms, ratios
from modelport.measure.tune.knobs import Knobs
from modelport.measure.tune.search import Found

_HEAD = ("configuration", "turns", "one caller p50 ms", "p99 ms", "inferences/s", "p99 ms", "MB", "ratio", "")


def rows(found: Found, judge: Judge) -> list[dict[str, Any]]:
    """A row for each candidate that was measured, the fastest first, then those that were refused.

    The ratio is the speed that the profile wants over that of the present configuration in the same round.
    """
    measured = [_row(knobs, rounds, found, judge) for knobs, rounds in found.searched.items()]
    measured.sort(key=lambda row: -row["ratio"])
    refused = found.refused.items()
    return [*measured, *({**asdict(k), "configuration": str(k), "note": f"refused: {why}"} for k, why in refused)]


def text(results: Iterable[Mapping[str, Any]]) -> str:
    """The rows as a table; spreads are interquartile ranges over turns."""
    lines = [_HEAD]
    for row in results:
        if "turns" not in row:
            lines.append((row["configuration"], *("",) * (len(_HEAD) - 2), row["note"]))
            continue
        lines.append(
            (
                row["configuration"],
                str(row["turns"]),
                f"{row['alone_p50_ms']:.1f} ±{row['alone_spread_ms'] / 2:.1f}",
                f"{row['alone_p99_ms']:.1f}",
                f"{row['rate']:.1f} ±{row['rate_spread'] / 2:.1f}",
                f"{row['busy_p99_ms']:.1f}",
                f"{row['memory_mb']:.0f}",
                f"{row['ratio']:.2f}",
                row["note"],
            )
        )
    return table(lines)


def save(folder: Path, model: str, facts: Mapping[str, Any], found: Found, results: list[dict[str, Any]]) -> Path:
    """Write MODEL.json, with every turn, and MODEL.csv; returns the path of the first."""
    with (folder / f"{model}.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, sorted({key for row in results for key in row}))
        writer.writeheader()
        writer.writerows(results)
    turns = [
        {**asdict(knobs), "part": part, "round": number, **asdict(turn)}
        for part, kept in (("search", found.searched), ("comparison", found.compared))
        for knobs, rounds in kept.items()
        for number, turn in rounds.items()
    ]
    decided = {"present": asdict(found.present), "best": asdict(found.best), "why": found.why}
    path = folder / f"{model}.json"
    path.write_text(json.dumps({**facts, **decided, "candidates": results, "turns": turns}, indent=1) + "\n")
    return path


def _row(knobs: Knobs, rounds: Rounds, found: Found, judge: Judge) -> dict[str, Any]:
    present = found.searched[found.present]
    turns = [*rounds.values(), *found.compared.get(knobs, {}).values()]
    alone = Spread.of(statistics.median(turn.alone_ms) for turn in turns)
    rate = Spread.of(turn.rate for turn in turns)
    compared = found.compared if knobs in found.compared else found.searched
    ratio = Spread.of(ratios(compared[found.present], compared[knobs], judge.profile)).median
    notes = ["present"] if knobs == found.present else []
    notes += ["best"] if knobs == found.best != found.present else []
    notes += [objection] if (objection := judge.objection(present, rounds)) else []
    return {
        **asdict(knobs),
        "configuration": str(knobs),
        "turns": len(turns),
        "alone_p50_ms": alone.median,
        "alone_spread_ms": alone.iqr,
        "alone_p99_ms": p99_ms(rounds, busy=False),
        "rate": rate.median,
        "rate_spread": rate.iqr,
        "busy_p99_ms": p99_ms(rounds, busy=True),
        "memory_mb": Spread.of(turn.memory_mb for turn in turns).median,
        "ratio": ratio,
        "note": ", ".join(notes),
    }
