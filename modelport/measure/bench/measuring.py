"""One measurement: a caller in a process of its own, and what it cost the server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.measure.bench.cases import GRPC, Request
from modelport.measure.bench.figures import Point, percentile
from modelport.stack.server import LOOPBACK

WARM_S = 0.5
PATIENCE_S = 180.0


class BenchError(Exception):
    """The run cannot go on; the message is what a person reads."""


@dataclass(frozen=True)
class Load:
    """What is sent, and for how long."""

    protocol: str
    request: Request
    concurrency: int
    seconds: float


def call(port: int, load: Load, pids: Sequence[int] = ()) -> dict[str, Any]:
    """Send a load; gives what the calling process says.

    Raises:
        BenchError: it could not call.
    """
    over_grpc = load.protocol == GRPC
    spec = {
        "host": LOOPBACK,
        "port": port + 1 if over_grpc else port,
        "path": load.request.path if over_grpc else "",
        "request": base64.b64encode(load.request.body if over_grpc else load.request.wire(LOOPBACK)).decode(),
        "concurrency": load.concurrency,
        "warm_s": WARM_S,
        "seconds": load.seconds,
        "pids": list(pids),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "modelport.measure.bench.calling"],
            input=json.dumps(spec).encode(),
            capture_output=True,
            timeout=PATIENCE_S,
            env=os.environ | {"GRPC_VERBOSITY": "NONE"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{load.request.path}: the server did not answer within {PATIENCE_S:g} s") from None
    if done.returncode:
        raise BenchError(f"the caller failed: {done.stderr.decode().strip().splitlines()[-1:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def measure(case: str, system: str, turn: int, port: int, load: Load, pids: Sequence[int]) -> Point:
    """One point: what callers saw, and what it cost the server's processes."""
    report = call(port, load, pids)
    return point(case, system, load.protocol, load.concurrency, turn, report)


def point(case: str, system: str, protocol: str, concurrency: int, turn: int, report: Mapping[str, Any]) -> Point:
    """A report of a process that measured, as a point."""
    latencies = [1000 * seconds for seconds in report["latencies_s"]]
    return Point(
        case,
        system,
        protocol,
        concurrency,
        turn,
        requests=len(latencies),
        failures=report["failed"],
        seconds=report["seconds"],
        p50_ms=percentile(latencies, 0.5),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        server_cpu_ms=1000 * report["watched_s"] / max(1, len(latencies)),
        caller_cpu=report["own_s"] / report["seconds"],
        other_cpu=report["others"],
        stages_ms=report["stages_ms"],
        pace_ms=report["pace_ms"],
    )
