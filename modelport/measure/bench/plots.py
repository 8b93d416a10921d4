"""Plots: throughput and latency over concurrency, and one request by stage."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.use("Agg")
import matplotlib.pyplot as plt

from modelport.measure.bench.figures import Row, best
from modelport.measure.bench.reach import first_protocol

COLOURS = {"ours": "#1f6feb", "legacy": "#d1242f", "kserve": "#8250df", "raw": "#57606a"}


def curves(rows: Sequence[Row], path: Path) -> None:
    """Draw a column for each case: requests per second above, p50 and (dotted) p99 below; the raw model as a line."""
    cases = list(dict.fromkeys(row.case for row in rows))
    figure, axes = plt.subplots(2, len(cases), figsize=(2.5 * len(cases), 4.6), squeeze=False, sharex=True)
    for above, below, case in zip(*axes, cases, strict=True):
        for system in ("ours", "legacy", "kserve"):
            protocol = first_protocol(case) if system == "ours" else None
            line = [r for r in rows if (r.case, r.system) == (case, system) and protocol in (None, r.protocol)]
            line.sort(key=lambda row: row.concurrency)
            if line:
                at, style = (
                    [row.concurrency for row in line],
                    {"color": COLOURS[system], "marker": ".", "label": system},
                )
                above.errorbar(at, [r.rate.median for r in line], [r.rate.iqr / 2 for r in line], capsize=2, **style)
                below.plot(at, [row.p50_ms.median for row in line], **style)
                below.plot(at, [row.p99_ms.median for row in line], color=COLOURS[system], linestyle=":")
        raw = max((r.rate.median for r in rows if (r.case, r.system) == (case, "raw")), default=None)
        if raw:
            above.axhline(raw, color=COLOURS["raw"], linestyle="--", label="raw model")
        above.set_title(case, fontsize=9)
        above.set_ylim(bottom=0)
        above.set_xscale("log", base=2)
        below.set_yscale("log")
        below.set_xlabel("connections", fontsize=8)
        for axis in (above, below):
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("requests/s", fontsize=8)
    axes[1][0].set_ylabel("ms: p50, p99 dotted", fontsize=8)
    axes[0][0].legend(fontsize=7)
    _save(figure, path)


def bars(rows: Sequence[Row], path: Path) -> None:
    """Draw the highest throughput of every system in every case."""
    cases, systems = list(dict.fromkeys(row.case for row in rows)), [name for name in COLOURS if name != "raw"]
    figure, axis = plt.subplots(figsize=(8, 3))
    for number, system in enumerate(("raw", *systems)):
        found = [(at, best(r for r in rows if (r.case, r.system) == (case, system))) for at, case in enumerate(cases)]
        known = [(at + (number - 1.5) * 0.2, row.rate) for at, row in found if row]
        drawn = axis.bar(
            [at for at, _ in known],
            [rate.median for _, rate in known],
            0.2,
            yerr=[rate.iqr / 2 for _, rate in known],
            color=COLOURS[system],
            label=system,
        )
        axis.bar_label(drawn, fmt="%.3g", fontsize=6)
    axis.set_yscale("log")
    axis.set_ylabel("requests/s", fontsize=8)
    axis.set_xticks(range(len(cases)), cases, fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    axis.legend(fontsize=7)
    _save(figure, path)


def waterfall(rows: Sequence[Row], path: Path) -> None:
    """Draw one request of each case at concurrency 1 by Server-Timing; the rest is HTTP on both sides."""
    ours = [r for r in rows if r.system == "ours" and r.rate.median]
    alone = [r for r in ours if r.concurrency == 1 and r.protocol == first_protocol(r.case)]
    stages = list(dict.fromkeys(stage for row in alone for stage in row.stages_ms))
    if not alone:
        return
    rest = "read, parse, write"
    figure, axes = plt.subplots(len(alone), 1, figsize=(7, 0.6 + 0.75 * len(alone)), squeeze=False)
    for (axis,), row in zip(axes, alone, strict=True):
        mean_ms = 1000 / row.rate.median  # of one caller without pauses; the stages are means too
        took = {**row.stages_ms, rest: max(0.0, mean_ms - sum(row.stages_ms.values()))}
        left = 0.0
        for number, stage in enumerate([*stages, rest]):
            axis.barh(0, took.get(stage, 0.0), left=left, color=f"C{number}", label=stage)
            left += took.get(stage, 0.0)
        axis.set_yticks([0], [row.case], fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
    axes[0][0].legend(ncols=len(stages) + 1, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes[-1][0].set_xlabel("ms", fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
