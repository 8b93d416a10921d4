"""The commands on releases as a user types them: usage, exit codes, requirements."""

import subprocess
import sys

import pytest

from modelport.environment import ROOT, SetupError
from modelport.releases.__main__ import MODULES, main
from modelport.releases.gate import artefacts


@pytest.mark.parametrize("name", MODULES)
def test_usage_names_the_command_as_it_is_typed(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: modelport {name} [")


def test_commands_that_need_no_storage_and_no_statistics_do_not_import_them():
    code = """
import sys
sys.modules["obstore"] = sys.modules["scipy"] = sys.modules["model_signing"] = None
from modelport.releases.__main__ import main
for name in ("canary", "promote", "rollback", "releases", "update"):
    try:
        main([name, "--help"])
    except SystemExit as done:
        assert done.code == 0
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)


def test_make_compare_fails_and_prints_the_exit_code():
    command = ["make", "compare", "SERVICE=digits", "OLD=2027", "NEW=initial"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "exit code 1; make itself ends with 2: in scripts, call .venv/bin/modelport compare" in run.stderr


def test_a_framework_that_cannot_be_installed_is_one_line(repository, tmp_path, monkeypatch, capsys):
    def fail(framework: str | None) -> str:
        raise SetupError(f"no network: {framework}")

    monkeypatch.setattr(artefacts, "framework_python", fail)
    assert main(["release", "digits", f"--repository={repository}", f"--releases={tmp_path}"]) == 1
    assert capsys.readouterr().err == "error: no network: tensorflow\n"
