"""The short form of `make torture`: what is broken on purpose comes back, and no accepted request is lost."""

import json
import os
import subprocess
import sys

import pytest

from modelport.environment import ROOT
from modelport.measure.torture.faults import SHORT

HONEST = {"200", "429", "502", "503", "504"}


@pytest.fixture(scope="module")
def faults(stack, tmp_path_factory):
    """What `python -m modelport.measure.torture --short` found, by fault. `stack` exported what it needs."""
    folder = tmp_path_factory.mktemp("torture")
    command = [sys.executable, "-m", "modelport.measure.torture", "--short", f"--folder={folder}"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {fault["fault"]: fault for fault in json.loads((folder / "results.json").read_text())["faults"]}


def test_every_fault_was_tried_under_load(faults):
    assert set(faults) == set(SHORT)
    assert all(fault["sent"] >= 5 for fault in faults.values())


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_and_callers_see_honest_answers(faults, name):
    fault = faults[name]
    assert fault["lost"] == 0
    assert fault["answered"] == fault["sent"]
    assert set(fault["seen"]) <= HONEST
    assert fault["seen"]["200"] > 0


@pytest.mark.parametrize("name", [name for name in SHORT if not name.startswith("callers")])
def test_what_was_broken_comes_back(faults, name):
    assert faults[name]["noticed_s"] is not None
    assert faults[name]["recovered_s"] is not None


def test_a_chain_hides_a_stalled_model_from_callers(faults):
    assert set(faults["chain-stalled"]["seen"]) == {"200"}
