"""A few inputs of the fuzzer, always the same; by hand it runs for any time."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from modelport.environment import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris needs: make test PYTHON=python3.11")
def test_a_few_inputs_find_nothing(tmp_path):
    findings = tmp_path / "findings"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/transformers:{ROOT}/tests/fuzz", "TMPDIR": str(tmp_path)}
    # libFuzzer's limit on memory counts what a process inherits from the one that starts it: a shell, not these tests
    shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    command = [*shell, sys.executable, "tests/fuzz/fuzz_front_door.py", "--seconds=0", "--runs=1000"]
    command.append(f"--findings={findings}")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(findings.iterdir()) == []
    ran = re.search(r"Done (\d+) runs", done.stderr)
    assert ran, done.stderr[-3000:]
    assert int(ran[1]) >= 1000
