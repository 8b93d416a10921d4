"""Locust as a child process, and its measurements."""

import csv
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelport.environment import ROOT, CommandError

FILE = Path(__file__).with_name("locustfile.py")
AGGREGATED = "Aggregated"
WINDOW_S = 10  # that each row of Locust's history covers
CONNECT_TIMEOUT_S = 60.0
NEXT_STEP = "start a server with `make serve`, or give another one with --url"
UNKNOWN = ("N/A", "0")  # a percentile without answers, or with answers that are not counted yet


class LoadError(CommandError):
    """The run cannot continue; the message says why and what to do."""


@dataclass(frozen=True)
class Measured:
    """All requests of a number of users over a time.

    The rate is of requests that succeeded; response times are of all.
    """

    users: int
    rate: float
    failed: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def command(url: str, services: Sequence[str], *options: str) -> list[str]:
    """The command line that runs Locust."""
    mine = [f"--services={','.join(services)}"]
    return [sys.executable, "-m", "locust", "-f", str(FILE), f"--host={url}", *mine, *options]


def environment() -> dict[str, str]:
    """The environment of the process that runs Locust."""
    return {**os.environ, "PYTHONSAFEPATH": "1"}


def hold(url: str, services: Sequence[str], users: int, seconds: float) -> Measured:
    """Measure a constant number of users.

    Raises:
        LoadError: Locust failed, or no request succeeded.
    """
    rows = _run(url, services, users, users, seconds, "stats", "--reset-stats")
    return _answered([_measured(row, users) for row in rows], url, seconds)[-1]


def ramp(url: str, services: Sequence[str], users: int, seconds: float) -> list[Measured]:
    """Measure users that arrive one after another within `seconds` and stay for another ten.

    Returns:
        A measurement per second, each over the ten seconds before it; `failed` counts from the beginning. Seconds
        without a known percentile are left out.

    Raises:
        LoadError: Locust failed, or no request succeeded.
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
    """The rows of one of Locust's tables that aggregate all requests and have known percentiles."""
    _check_listening(url)
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


def _check_listening(url: str) -> None:
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise LoadError(f"{url} cannot be reached ({error}): {NEXT_STEP}") from error


def _answered(measured: list[Measured], url: str, seconds: float) -> list[Measured]:
    """The measurements, if any request succeeded: a server that only fails must not look like a fast one."""
    if any(one.rate > 0 for one in measured):
        return measured
    if any(one.failed for one in measured):
        raise LoadError(f"no request to {url} succeeded: {NEXT_STEP}")
    raise LoadError(f"no request to {url} ended within {seconds:g} s: measure longer with --seconds {4 * seconds:g}")


def _measured(row: dict[str, str], users: int, total: str = "") -> Measured:
    """A row of Locust's tables; in the history, columns of the whole run begin with "Total "."""
    mean, failed = row[f"{total}Average Response Time"], row[f"{total}Failure Count"]
    percentiles = (float(row[share]) for share in ("50%", "95%", "99%"))
    rate = max(0.0, float(row["Requests/s"]) - float(row["Failures/s"]))
    return Measured(users, rate, int(failed), float(mean), *percentiles)
