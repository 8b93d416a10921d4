"""The dashboard's panel groups as pictures, drawn from a Prometheus's data by the dashboard's own queries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from monitoring.prometheus import Prometheus
from monitoring.queries import Panel, dashboard, filled_in, panels

STEP_S = 2.0
RATE_INTERVAL = "20s"
COLUMNS = 3
# Grafana's units: factor, and what stands behind the number
UNITS = {
    "s": (1e3, " ms"),
    "µs": (1e-3, " ms"),
    "percentunit": (100.0, " %"),
    "bytes": (2.0**-20, " MiB"),
    "reqps": (1.0, "/s"),
    "cps": (1.0, "/s"),
    "none": (1.0, ""),
}


def draw(prometheus: Prometheus, folder: Path, start: float, end: float) -> Iterator[Path]:
    """Draw each group of time series, and the numbers on top, into PNG files named after them.

    Args:
        prometheus: has the data.
        folder: made where it is missing.
        start: Unix time in seconds.
        end: likewise.
    """
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    for row, group in groupby(panels(dashboard()), key=lambda panel: panel.row):
        drawn = [panel for panel in group if panel.kind == "timeseries"]
        if not drawn:
            continue
        lines = -(-len(drawn) // COLUMNS)
        figure = Figure(figsize=(12, 2.9 * lines), layout="constrained")
        all_axes = figure.subplots(lines, COLUMNS, squeeze=False).reshape(-1)
        for axes, panel in zip(all_axes, drawn, strict=False):
            _draw_panel(axes, panel, prometheus, start, end)
        for axes in all_axes[len(drawn) :]:
            axes.set_visible(False)
        file = folder / f"dashboard-{re.sub(r'[^a-z]+', '-', row.lower())}.png"
        figure.savefig(file, dpi=80, pil_kwargs={"optimize": True})
        yield file


def _draw_panel(axes: Axes, panel: Panel, prometheus: Prometheus, start: float, end: float) -> None:
    factor, suffix = UNITS[panel.unit]
    for query in panel.queries:
        series = prometheus.query_range(filled_in(query.expr, RATE_INTERVAL), start, end, STEP_S)
        for one in sorted(series, key=lambda found: _peak(found["values"]), reverse=True):
            times, values = np.array(one["values"], dtype=float).T
            axes.plot(times - start, values * factor, label=_named(query.legend, one["metric"]), linewidth=1.4)
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, end - start)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{suffix}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="upper right", framealpha=0.7)


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), legend)


def _peak(values: Sequence[tuple[float, str]]) -> float:
    return max((float(value) for _, value in values if value != "NaN"), default=0.0)
