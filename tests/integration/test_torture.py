"""The short form of `modelport torture`: every fault is recovered from, and no accepted request is lost."""

import json
import subprocess
import sys

import pytest

from modelport.environment import ROOT
from modelport.measure.torture.faults import SHORT
from modelport.measure.torture.outcome import HONEST, SUCCEEDED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.stack,
    pytest.mark.timeout(3600),  # on a machine without free processor time
]


@pytest.fixture(scope="module")
def faults(exported, tmp_path_factory):
    """The results of `modelport torture --short`, by fault."""
    folder = tmp_path_factory.mktemp("torture")
    command = [sys.executable, "-P", "-m", "modelport.measure.torture", "--short", f"--folder={folder}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {fault["fault"]: fault for fault in json.loads((folder / "results.json").read_text())["faults"]}


def test_every_fault_is_injected_under_load(faults):
    assert set(faults) == set(SHORT)
    assert all(fault["sent"] >= 5 for fault in faults.values())


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_and_callers_see_honest_answers(faults, name):
    fault = faults[name]
    assert fault["broken"] == []
    assert fault["lost"] == 0
    assert fault["answered"] == fault["sent"]
    assert set(fault["seen"]) <= HONEST
    assert fault["seen"]["200"] > 0


@pytest.mark.parametrize("name", [name for name in SHORT if not name.startswith("callers")])
def test_every_fault_is_recovered_from(faults, name):
    assert faults[name]["noticed_s"] is not None
    assert faults[name]["recovered_s"] is not None


def test_a_chain_hides_a_stalled_model_from_callers(faults):
    """A 504 is one at the deadline, on a machine without free processor time: an earlier one is a broken promise."""
    assert set(faults["chain-stalled"]["seen"]) <= SUCCEEDED
