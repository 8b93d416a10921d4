"""The upper bound: as many processes with the model as Triton has instances, all at the same time."""

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
from dataclasses import replace
from typing import Any

from google.protobuf.json_format import MessageToJson

from modelport.environment import ROOT
from modelport.exporting import FRAMEWORK, framework_python
from modelport.measure.bench.cases import Case
from modelport.measure.bench.figures import Point
from modelport.measure.bench.measuring import BenchError, point
from modelport.measure.generator.load import Report
from modelport.measure.generator.requests import Record
from modelport.measure.metering import Used
from modelport.releases.gate.configs import read_config
from modelport.samples import REPOSITORY


def instances(case: Case) -> int:
    """How many processes Triton has for the model."""
    return sum(group.count for group in _config(case.model).instance_group) or 1


def limit(name: str, case: Case, batch: int, turn: int, seconds: float) -> Point:
    """Measure the raw model in batches.

    Args:
        name: of the case.
        case: the same.
        batch: rows of each run; every row counts as a request.
        turn: the round, from 0.
        seconds: to measure.
    """
    count = instances(case)
    report = _together(case.model, str(batch), count, seconds)
    rows = [record for record in report.records for _ in range(batch)]
    return point(name, "raw", f"batch {batch}", count, turn, replace(report, records=rows))


def pipeline(name: str, case: Case, turn: int, seconds: float) -> Point:
    """Measure decoding, preparing, the model and answering, one request after another in each process."""
    count = instances(case)
    return point(name, "in process", "bytes to JSON", count, turn, _together(case.model, name, count, seconds))


def _config(model: str) -> Any:
    return read_config(REPOSITORY / model / "config.pbtxt")


def _together(model: str, what: str, count: int, seconds: float) -> Report:
    config = _config(model)
    python = framework_python(FRAMEWORK[config.platform])
    command = [python, "-P", "-m", "modelport.measure.bench.raw", model, what]
    command.append(MessageToJson(config, preserving_proto_field_name=True, indent=None))
    with contextlib.ExitStack() as ending:
        errors = ending.enter_context(tempfile.TemporaryFile("w+"))
        workers = []
        for _ in range(count):
            worker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, text=True
            )
            ending.callback(worker.communicate)
            ending.callback(worker.kill)
            workers.append(worker)
        if any(worker.stdout is None or worker.stdout.readline() != "ready\n" for worker in workers):
            errors.seek(0)
            raise BenchError(f"{model} cannot be run without Triton: {errors.read().strip().splitlines()[-1:]}")
        for worker in workers:
            if worker.stdin:
                worker.stdin.write(f"{seconds}\n")
                worker.stdin.flush()
        reports = [json.loads(worker.stdout.readline()) for worker in workers if worker.stdout]
    latencies = [latency for report in reports for latency in report["latencies_s"]]
    used = Used(
        own_s=0.0,
        watched_s=sum(report["own_s"] for report in reports),
        # each worker counts the other workers as others
        others=max(0.0, min(report["others"] for report in reports) - (count - 1) / (os.cpu_count() or 1)),
    )
    # so that the rate is the sum of the workers' own rates: they do not end at the same moment
    seconds = len(latencies) / sum(len(report["latencies_s"]) / report["seconds"] for report in reports)
    pace_ms = statistics.mean(report["pace_ms"] for report in reports)
    return Report([Record(0.0, "200", latency) for latency in latencies], seconds, used, pace_ms)
