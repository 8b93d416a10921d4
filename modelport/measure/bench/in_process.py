"""The limit: as many processes with the model as Triton has instances, all at once."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from google.protobuf.json_format import MessageToJson

from modelport.environment import ROOT
from modelport.measure.bench.cases import REPOSITORY, Case
from modelport.measure.bench.figures import Point
from modelport.measure.bench.measuring import BenchError, point
from modelport.releases.gate.configs import read_config


def instances(case: Case) -> int:
    """How many processes Triton has for the model."""
    return sum(group.count for group in _config(case.model).instance_group) or 1


def limit(name: str, case: Case, batch: int, turn: int, seconds: float, workers: int | None = None) -> Point:
    """The raw model in batches of so many."""
    count = workers or instances(case)
    report = _together(case.model, str(batch), count, seconds)
    return point(name, "raw", f"batch {batch}", count, turn, _per_request(report, batch))


def pipeline(name: str, case: Case, turn: int, seconds: float) -> Point:
    """Decoding, preparing, the model and answering, one request after another in each process."""
    count = instances(case)
    return point(name, "in process", "bytes to JSON", count, turn, _together(case.model, name, count, seconds))


def _config(model: str) -> Any:
    return read_config(REPOSITORY / model / "config.pbtxt")


def _per_request(report: dict[str, Any], batch: int) -> dict[str, Any]:
    return report | {"latencies_s": [latency for latency in report["latencies_s"] for _ in range(batch)]}


def _together(model: str, what: str, count: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "modelport.measure.bench.raw", model, what]
    command.append(MessageToJson(_config(model), preserving_proto_field_name=True, indent=None))
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with contextlib.ExitStack() as ending:
        complaints = ending.enter_context(tempfile.TemporaryFile("w+"))
        workers = []
        for _ in range(count):
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=ROOT,
                env=environment,
                text=True,
            )
            ending.callback(worker.communicate)
            ending.callback(worker.kill)
            workers.append(worker)
        if any(worker.stdout is None or worker.stdout.readline() != "ready\n" for worker in workers):
            complaints.seek(0)
            raise BenchError(f"{model} cannot be run in process: {complaints.read().strip().splitlines()[-1:]}")
        for worker in workers:
            if worker.stdin:
                worker.stdin.write(f"{seconds}\n")
                worker.stdin.flush()
        reports = [json.loads(worker.stdout.readline()) for worker in workers if worker.stdout]
    answered = sum(len(report["latencies_s"]) for report in reports)
    own_s = sum(report["own_s"] for report in reports)
    return {
        # so that requests by seconds are the sum of the workers' own rates: they do not end at the same moment
        "seconds": answered / sum(len(report["latencies_s"]) / report["seconds"] for report in reports),
        "latencies_s": [latency for report in reports for latency in report["latencies_s"]],
        "failed": {},
        "stages_ms": {},
        "watched_s": own_s,
        "own_s": 0.0,
        # each worker takes the others for strangers
        "pace_ms": statistics.mean(report["pace_ms"] for report in reports),
        "others": max(0.0, min(report["others"] for report in reports) - (count - 1) / (os.cpu_count() or 1)),
    }
