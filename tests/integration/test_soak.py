"""`modelport soak` for ten minutes: no request is lost, and nothing grows."""

import json
import subprocess
import sys

import pytest

from modelport.environment import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.stack,
    pytest.mark.timeout(3600),  # on a machine without free processor time
]
MINUTES = 10


def test_nothing_is_lost_and_nothing_grows(exported, tmp_path):
    command = [sys.executable, "-P", "-m", "modelport.measure.soak", f"--minutes={MINUTES}", f"--folder={tmp_path}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((tmp_path / "results.json").read_text())
    assert result["answered"] == result["sent"] > 0
    assert result["lost"] == 0
    assert result["broken"] == []
    names = {one["name"] for one in result["slopes"]}
    assert {"transformer: MB", "models: MB", "Triton: threads", "processes", "temporary files"} <= names
