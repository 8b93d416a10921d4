"""The studies: users ramped up; replicas by callers; and the queueing model beside what is measured."""

from __future__ import annotations

import csv
import dataclasses
import resource
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import psutil
from prometheus_client.parser import text_string_to_metric_families

from modelport.environment import ROOT
from modelport.measure.load import replicas
from modelport.measure.load.locusts import LoadError, Measured, hold
from modelport.measure.load.queueing import Service, response_s

FOLDER = ROOT / "build" / "load"
LOADS = (0.4, 0.6, 0.8)  # shares of the capacity at which predictions are checked
ANSWERED = "modelport_requests_total"
CHECK_USERS = 64  # who think between requests: enough to come as Poisson's would


@dataclass(frozen=True)
class Cell:
    """One point of the surface."""

    replicas: int
    measured: Measured


@dataclass(frozen=True)
class Checked:
    """The model's word on p50 and p99, beside what was measured."""

    load: float
    measured: Measured
    predicted_p50_ms: float
    predicted_p99_ms: float


def surface(service: str, counts: Sequence[int], threads: Sequence[int], seconds: float, logs: Path) -> Iterator[Cell]:
    """Replicas on this machine by callers without a pause."""
    for count in counts:
        with replicas.local(service, count, logs) as url:
            hold(url, [service], 1, 2)  # every replica's first requests are slower
            for callers in threads:
                yield Cell(count, hold(url, [service], callers, seconds))


def cluster_surface(
    service: str, counts: Sequence[int], threads: Sequence[int], seconds: float, url: str, deployment: str, space: str
) -> Iterator[Cell]:
    """The same of a deployment in a cluster."""
    for count in counts:
        replicas.scale(deployment, space, count)
        for callers in threads:
            yield Cell(count, hold(url, [service], callers, seconds))


def service_of(url: str, name: str, seconds: float) -> tuple[Service, float]:
    """One replica at work on this machine as a queue, and the processor time of a request, seconds, callers aside.

    The mean and the spread are those of one caller alone. How many are worked on at once follows from the throughput
    of many callers, since what instances share (cores, caches) is a part of that: capacity is what is measured.

    Raises:
        LoadError: nothing was answered well.
    """
    alone = hold(url, [name], 1, seconds)
    busy_s, callers_s, answered = _busy_s(), _children_s(), _answered(url, name)
    many = hold(url, [name], 16, seconds)
    served_s = _busy_s() - busy_s - (_children_s() - callers_s)
    cpu_s = served_s / max(1.0, _answered(url, name) - answered)
    mean_s = alone.mean_ms / 1000
    servers = max(1, round(many.rate * mean_s))
    # half the distance of p50 and p95 is 0.82 deviations of a normal distribution's
    deviation = (alone.p95_ms - alone.p50_ms) / 1.645 / 1000
    capable = Service(servers / many.rate, (deviation / mean_s) ** 2, servers)
    return capable, cpu_s


def check(url: str, name: str, service: Service, seconds: float) -> Iterator[Checked]:
    """The model's predictions at several loads, beside callers who come at random."""
    for share in LOADS:
        rate = share * service.capacity
        measured = hold(url, [name], CHECK_USERS, seconds, think_s=CHECK_USERS / rate)
        yield Checked(
            share,
            measured,
            *(1000 * response_s(service, measured.rate, quantile) for quantile in (0.5, 0.99)),
        )


def draw_surface(cells: Sequence[Cell], path: Path) -> None:
    """Requests a second and p95 over replicas and callers."""
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
    """Requests a second, p50 and p95 over users."""
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
    """The same as a table, to compare with."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["replicas", *(field.name for field in dataclasses.fields(Measured))])
        writer.writerows([cell.replicas, *dataclasses.astuple(cell.measured)] for cell in cells)


def _answered(url: str, name: str) -> float:
    """Requests that the transformer at this address has answered well so far, by its own metrics."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:  # noqa: S310  (the operator's own URL)
            families = list(text_string_to_metric_families(answer.read().decode()))
    except OSError as error:
        raise LoadError(f"{url}/metrics cannot be read ({error}): name a transformer's own address") from error
    samples = [sample for family in families for sample in family.samples if sample.name == ANSWERED]
    return sum(s.value for s in samples if (s.labels["service"], s.labels["outcome"]) == (name, "200"))


def _children_s() -> float:
    """Processor time of our own children that have ended: Locust's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _busy_s() -> float:
    times: Any = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
