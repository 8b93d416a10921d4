"""The studies: users added one by one, and a number of replicas under a number of callers."""

import contextlib
import csv
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from modelport.environment import ROOT
from modelport.measure.load import replicas
from modelport.measure.load.locusts import LoadError, Measured, hold

FOLDER = ROOT / "build" / "load"


@dataclass(frozen=True)
class Cell:
    """What was measured with a number of replicas."""

    replicas: int
    measured: Measured


def surface(service: str, counts: Sequence[int], threads: Sequence[int], seconds: float, logs: Path) -> Iterator[Cell]:
    """Replicas on this machine by callers, each of which always has a request under way."""
    for count in counts:
        with replicas.local(service, count, logs) as url:
            with contextlib.suppress(LoadError):  # the first requests of a replica are slower
                hold(url, [service], 1, 2)
            for callers in threads:
                yield Cell(count, hold(url, [service], callers, seconds))


def cluster_surface(
    service: str, counts: Sequence[int], threads: Sequence[int], seconds: float, url: str, deployment: str, space: str
) -> Iterator[Cell]:
    """The same for a Deployment in a cluster."""
    for count in counts:
        replicas.scale(deployment, space, count)
        for callers in threads:
            yield Cell(count, hold(url, [service], callers, seconds))


def draw_surface(cells: Sequence[Cell], path: Path) -> None:
    """Draw requests per second and p95 over replicas and callers."""
    figure = plt.figure(figsize=(9, 4))
    heights: dict[str, Callable[[Cell], float]] = {
        "requests/s": lambda cell: cell.measured.rate,
        "p95 ms": lambda cell: cell.measured.p95_ms,
    }
    for place, (name, height) in enumerate(heights.items(), 1):
        axis = figure.add_subplot(1, 2, place)
        for count in sorted({cell.replicas for cell in cells}):
            line = [cell for cell in cells if cell.replicas == count]
            at = [cell.measured.users for cell in line]
            axis.plot(at, [height(cell) for cell in line], marker=".", label=f"{count} replicas")
        axis.set_xscale("log", base=2)
        axis.set_xlabel("callers")
        axis.set_ylabel(name)
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_ramp(steps: Sequence[Measured], path: Path) -> None:
    """Draw requests per second, p50 and p95 over users."""
    figure, axis = plt.subplots(figsize=(7, 4))
    axis.plot([step.users for step in steps], [step.rate for step in steps], color="C0")
    axis.set_xlabel("users")
    axis.set_ylabel("requests/s", color="C0")
    times = axis.twinx()
    times.plot([step.users for step in steps], [step.p50_ms for step in steps], color="C1", label="p50")
    times.plot([step.users for step in steps], [step.p95_ms for step in steps], color="C3", label="p95")
    times.set_ylabel("ms")
    times.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def write_surface(cells: Sequence[Cell], path: Path) -> None:
    """Write the surface as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["replicas", *(field.name for field in dataclasses.fields(Measured))])
        writer.writerows([cell.replicas, *dataclasses.astuple(cell.measured)] for cell in cells)
