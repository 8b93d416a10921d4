"""The dashboard's panel groups as pictures, drawn from a Prometheus's data by the dashboard's own queries."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

from modelport.measure.prometheus.prometheus import Prometheus
from modelport.measure.prometheus.queries import Panel, dashboard, filled_in, panels

STEP_S = 1.0
RATE_INTERVAL = "20s"
MOST_SERIES = 8  # of a panel; those with the highest peaks


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 or value == 0 else f"{value * 1e3:g} ms"


# Grafana's units, as people read them.
UNITS: Mapping[str, Callable[[float], str]] = {
    "s": _seconds,
    "µs": lambda value: _seconds(value / 1e6),
    "percentunit": lambda value: f"{value * 100:g} %",
    "bytes": lambda value: f"{value / 2**20:.0f} MiB",
    "reqps": lambda value: f"{value:g}/s",
    "cps": lambda value: f"{value:g}/s",
    "none": lambda value: f"{value:g}",
    "short": lambda value: f"{value:.3g}",
}


def draw(prometheus: Prometheus, folder: Path, start: float, end: float) -> Iterator[Path]:
    """Draw each group into a PNG file named after it.

    Args:
        prometheus: has the data.
        folder: made where it is missing.
        start: Unix time in seconds.
        end: likewise.
    """
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    for row, group in groupby(panels(dashboard()), key=lambda panel: panel.row):
        shown = list(group)
        columns = len(shown) if shown[0].kind == "stat" else 2 if len(shown) == 4 else 3
        lines = math.ceil(len(shown) / columns)
        height = 1.6 if shown[0].kind == "stat" else 3.1 * lines
        figure = Figure(figsize=(12, height), layout="constrained")
        places = figure.subplots(lines, columns, squeeze=False).reshape(-1)
        for axes, panel in zip(places, shown, strict=False):
            _KINDS[panel.kind](axes, panel, prometheus, start, end)
        for axes in places[len(shown) :]:
            axes.set_visible(False)
        file = folder / f"dashboard-{re.sub(r'[^a-z]+', '-', row.lower())}.png"
        figure.savefig(file, dpi=80, pil_kwargs={"optimize": True})
        yield file


def _lines(axes: Axes, panel: Panel, prometheus: Prometheus, start: float, end: float) -> None:
    """One line a series, named as in the legend."""
    found = [(query, one) for query in panel.queries for one in _series(prometheus, query.expr, start, end)]
    for query, one in sorted(found, key=lambda pair: -_peak(pair[1]))[:MOST_SERIES]:
        times, values = np.array(one["values"], dtype=float).T
        axes.plot(times - start, values, label=_named(query.legend, one["metric"]), linewidth=1.5)
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.set_ylim(0, None if any(_peak(one) for _, one in found) else 1)
    axes.set_xlim(0, end - start)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: UNITS[panel.unit](value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.05, -0.1), ncol=2, frameon=False, columnspacing=1)


def _number(axes: Axes, panel: Panel, prometheus: Prometheus, start: float, end: float) -> None:
    """The last value in large, with its line behind it."""
    (one,) = _series(prometheus, panel.queries[0].expr, start, end)
    times, values = np.array(one["values"], dtype=float).T
    axes.fill_between(times, values, alpha=0.2)
    axes.text(
        0.5, 0.5, UNITS[panel.unit](float(f"{values[-1]:.3g}")), transform=axes.transAxes, fontsize=22, ha="center"
    )
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.set_ylim(bottom=0)
    axes.set_xticks([])
    axes.set_yticks([])


def _table(axes: Axes, panel: Panel, prometheus: Prometheus, start: float, end: float) -> None:
    """The labels of each series at the end."""
    rows = [one["metric"] for one in prometheus.query(filled_in(panel.queries[0].expr, RATE_INTERVAL))]
    columns = [name for name in ("model", "version", "release", "weights") if name in rows[0]]
    cells = sorted([row[name] for name in columns] for row in rows)
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.axis("off")
    table = axes.table(cells, colLabels=columns, cellLoc="left", bbox=Bbox.unit(), colWidths=[4, 2, 3, 3])
    table.auto_set_font_size(False)
    table.set_fontsize(8)


_KINDS = {"timeseries": _lines, "stat": _number, "table": _table}


def _series(prometheus: Prometheus, expr: str, start: float, end: float) -> Sequence[dict[str, Any]]:
    return prometheus.query_range(filled_in(expr, RATE_INTERVAL), start, end, STEP_S)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), legend)


def _peak(series: Mapping[str, Any]) -> float:
    return max((float(value) for _, value in series["values"] if value != "NaN"), default=0.0)
