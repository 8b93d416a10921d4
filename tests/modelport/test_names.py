"""transformers, export and triton are folders of ours, never packages: they hide nobody else's module of that name."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from modelport import cli
from modelport.environment import BASE, FRAMEWORKS, ROOT

NAMES = ("triton", "transformers", "export", "manifests", "tests")
PACKAGES = ("modelport", "exporters", "kserve_transformers")
FIND = """
import importlib.util, json, sys
places = {}
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    places[name] = spec and [spec.origin, *(spec.submodule_search_locations or ())]
print(json.dumps(places))
"""


@pytest.mark.parametrize("environment", [BASE, *FRAMEWORKS.values()], ids=lambda environment: environment.folder.name)
def test_our_folders_are_no_modules_in_the_environments(environment):
    """As `modelport` starts its commands: with -P, in the checkout."""
    command = [environment.python, "-P", "-c", FIND, *NAMES, *PACKAGES]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    places = json.loads(run.stdout)
    for name in PACKAGES:
        assert Path(places[name][0]).is_relative_to(ROOT), "our packages are found"
    for name in NAMES:
        found = [Path(place) for place in places[name] or () if place]
        assert not [place for place in found if place.is_relative_to(ROOT) and "site-packages" not in place.parts], name


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_becomes_a_python_that_does_not_look_into_its_working_directory(name, monkeypatch):
    became: list[str] = []
    monkeypatch.setattr(cli, "set_up", lambda *needs: 0)
    monkeypatch.setattr(os, "execv", lambda path, arguments: became.extend(arguments))
    cli.main([name])
    assert became[1:3] == ["-P", "-m"]
