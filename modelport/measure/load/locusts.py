"""Locust as a child process, and what it measured."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelport.environment import ROOT

FILE = Path(__file__).with_name("locustfile.py")
AGGREGATED = "Aggregated"
WINDOW_S = 10  # of the seconds before, in each row of Locust's history
UNKNOWN = ("N/A", "0")  # its percentiles while it has no answers, or has not counted them


class LoadError(Exception):
    """The run cannot go on; the message is what a person reads."""


@dataclass(frozen=True)
class Measured:
    """All requests of some users over some time.

    Attributes:
        users: callers.
        rate: requests a second that were answered well.
        failed: requests that were not.
        mean_ms, p50_ms, p95_ms, p99_ms: until the answer, whatever it was.
    """

    users: int
    rate: float
    failed: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def command(url: str, services: Sequence[str], *options: str) -> list[str]:
    """Locust's command line."""
    mine = [f"--services={','.join(services)}"]
    return [sys.executable, "-m", "locust", "-f", str(FILE), f"--host={url}", *mine, *options]


def environment() -> dict[str, str]:
    """That of our own processes."""
    return {**os.environ, "PYTHONSAFEPATH": "1"}


def hold(url: str, services: Sequence[str], users: int, seconds: float, think_s: float = 0.0) -> Measured:
    """So many users for so long.

    Raises:
        LoadError: Locust failed, or nothing was answered well.
    """
    rows = _run(url, services, users, users, seconds, "stats", "--reset-stats", f"--think-s={think_s}")
    return _answered([_measured(row, users) for row in rows], url, seconds)[-1]


def ramp(url: str, services: Sequence[str], users: int, seconds: float) -> list[Measured]:
    """Users come one after another within that time and stay for ten seconds; each second, what the last ten were.

    Seconds of which nothing is known yet are left out. Failures are those of all the time before.

    Raises:
        LoadError: Locust failed, or nothing was answered well.
    """
    rows = _run(url, services, users, users / seconds, seconds + WINDOW_S, "stats_history")
    measured = [_measured(row, int(row["User Count"]), "Total ") for row in rows]
    most = max((one.users for one in measured), default=0)
    while measured and measured[-1].users < most:  # they leave
        measured.pop()
    return _answered(measured, url, seconds)


def _run(
    url: str, services: Sequence[str], users: int, spawn_rate: float, seconds: float, table: str, *more: str
) -> list[dict[str, str]]:
    """The rows of one of Locust's tables that tell of all requests together, as far as something is known of them."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--headless", f"--users={users}", f"--spawn-rate={spawn_rate}", f"--run-time={round(seconds)}s"]
        options += [f"--csv={folder}/run", "--csv-full-history", "--only-summary", "--exit-code-on-error=0"]
        done = subprocess.run(
            command(url, services, *options, "--stop-timeout=30", *more),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        file = Path(folder) / f"run_{table}.csv"
        if done.returncode or not file.exists():
            raise LoadError(f"Locust failed: {done.stderr.strip().splitlines()[-1:]}")
        with file.open(newline="") as rows:
            together = [row for row in csv.DictReader(rows) if row["Name"] == AGGREGATED]
    return [row for row in together if row["50%"] not in UNKNOWN and float(row["Requests/s"])]


def _answered(measured: list[Measured], url: str, seconds: float) -> list[Measured]:
    """What was measured, if anything was: refusals come fast, and a dead server is not to look like a quick one."""
    if any(one.rate > 0 for one in measured):
        return measured
    if any(one.failed for one in measured):
        raise LoadError(f"{url} answers nothing well: start a server with `make serve`, or name one: --url http://...")
    raise LoadError(f"no answer came from {url} within {seconds:g} s: measure for longer, --seconds {4 * seconds:g}")


def _measured(row: dict[str, str], users: int, total: str = "") -> Measured:
    """A row of Locust's tables; the history's columns of the whole run begin with "Total "."""
    mean, failed = row[f"{total}Average Response Time"], row[f"{total}Failure Count"]
    percentiles = (float(row[share]) for share in ("50%", "95%", "99%"))
    rate = max(0.0, float(row["Requests/s"]) - float(row["Failures/s"]))
    return Measured(users, rate, int(failed), float(mean), *percentiles)
