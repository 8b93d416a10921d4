"""`make bench` itself, on the smallest service and for as short as it goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.cases import ROOT
from bench.servers import python_path


def test_one_service_is_measured_beside_its_raw_model_and_its_seed(stack, tmp_path):
    """`stack` exported the model."""
    command = [sys.executable, "-m", "bench", "--only=speed", "--services=digits", "--rounds=1", "--seconds=0.2"]
    command += ["--concurrency=1", "--protocols=raw body,own", "--systems=raw,in process,ours,seed"]
    done = subprocess.run(
        [*command, f"--out={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": python_path(), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert {row["system"] for row in results["rows"]} == {"raw", "in process", "ours", "seed"}
    assert sum(row["failed"] for row in results["rows"]) == 0
    assert {goal["figure"]: goal["measured"] > 0 for goal in results["reach"]} == {
        "served / seed": True,
        "ms above raw": True,
    }
    assert {file.name for file in tmp_path.glob("*.png")} == {"curves.png", "bars.png", "waterfall.png"}
    assert (tmp_path / "history.jsonl").exists()
