"""The command `modelport`: it lists its commands, refuses unknown ones, and becomes the one that it was given."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelport.cli import COMMANDS
from modelport.environment import FRAMEWORKS, NEEDS, ROOT

MODELPORT = Path(sys.executable).with_name("modelport")


def modelport(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MODELPORT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)], ids=["nothing", "help", "--help"])
def test_help_lists_every_command(arguments: tuple[str, ...]) -> None:
    run = modelport(*arguments)
    assert run.returncode == 0
    for name, command in COMMANDS.items():
        assert any(line.split()[:1] == [name] and command.summary in line for line in run.stdout.splitlines())


def test_unknown_command_is_one_line() -> None:
    run = modelport("sevre")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: there is no command 'sevre': modelport help lists them\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_and_known_needs(name: str) -> None:
    command = COMMANDS[name]
    assert find_spec(command.module) is not None
    assert set(command.needs) <= set(NEEDS)
    assert command.framework in {None, *FRAMEWORKS}


def test_what_serves_and_releases_needs_no_framework_and_no_tests() -> None:
    """Frameworks are installed when a model of theirs is exported, trained or inspected, and not before."""
    for name in ("serve", "demo", "client", "release", "publish", "update", "export"):
        assert not {"test", "bench", *FRAMEWORKS} & set(COMMANDS[name].needs)


def test_arguments_and_exit_code_are_the_commands_own() -> None:
    run = modelport("export", "yolov9")
    assert run.returncode == 1
    assert run.stderr.startswith("error: there is no model yolov9: choose one of yolov3_tiny")
