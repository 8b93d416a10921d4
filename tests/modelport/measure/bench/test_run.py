"""`modelport bench` itself, on the smallest service and for as short as possible."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport.environment import ROOT
from modelport.measure.bench.__main__ import main
from modelport.measure.bench.figures import Point
from modelport.measure.bench.measuring import BenchError, point
from modelport.measure.bench.speed import Plan
from modelport.measure.generator.load import Report
from modelport.measure.generator.requests import Record
from modelport.measure.metering import Used

pytestmark = [pytest.mark.slow, pytest.mark.stack]

REPORT = Report([Record(0.0, "200", 0.1)], 0.1, Used(0.0, 0.1, 0.0), 3.0)

COMMAND = (sys.executable, "-P", "-m", "modelport.measure.bench", "--rounds=1", "--seconds=0.2")


def bench(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, f"--out={folder}", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_one_service_is_measured_beside_its_raw_model_and_its_legacy_server(stack, tmp_path):
    """`stack` exported the model."""
    systems = "--systems=raw,in process,ours,legacy"
    done = bench(tmp_path, "--only=speed", "--services=digits", "--concurrency=1", "--protocols=raw body,own", systems)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert {row["system"] for row in results["rows"]} == {"raw", "in process", "ours", "legacy"}
    assert sum(row["failed"] for row in results["rows"]) == 0
    assert {goal["figure"]: goal["measured"] > 0 for goal in results["reach"]} == {
        "served / legacy": True,
        "ms above raw": True,
    }
    assert {file.name for file in tmp_path.glob("*.png")} == {"curves.png", "bars.png", "waterfall.png"}
    assert (tmp_path / "history.jsonl").exists()


def test_large_photos_are_answered_as_small_ones(stack, tmp_path):
    """`stack` exported the model."""
    done = bench(tmp_path, "--only=photos")
    assert done.returncode == 0, done.stderr
    soft, grainy = json.loads((tmp_path / "photos.json").read_text())
    assert soft["megabytes"] < 2 < grainy["megabytes"] < 4
    assert all(one["same_labels"] and one["iou"] >= 0.9 for one in (soft, grainy))


def test_what_was_measured_before_a_failure_is_kept(tmp_path, monkeypatch, capsys):
    def run(plan: Plan) -> Iterator[Point]:
        yield point("digits", "raw", "batch 1", 1, 0, REPORT)
        raise BenchError("a server did not start")

    monkeypatch.setattr("modelport.measure.bench.__main__.run", run)
    assert main(["--only=speed", "--services=digits", f"--out={tmp_path}"]) == 1
    assert "a server did not start" in capsys.readouterr().out
    assert [row["system"] for row in json.loads((tmp_path / "results.json").read_text())["rows"]] == ["raw"]
