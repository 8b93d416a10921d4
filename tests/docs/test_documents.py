"""The documents: links lead somewhere, and the files, commands and options that they name exist."""

import functools
import json
import re
import subprocess
import sys

import pytest
from documents import DOCUMENTS, ROOT, anchors, blocks, commands, links, name, prose, words

from modelport.cli import COMMANDS

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))
VARIABLES = {"PYTHON", *re.findall(r"\$\((?:if |or )?\$?\(?([A-Z_]+)", MAKEFILE)}
VARIES = re.compile(r"\.\.\.|\d+|\([A-Z]+\)|\b[A-Z]{3,}\b|^Triton |^model\.pt")  # in a quoted message
CODE = (ROOT, ROOT / "transformers", ROOT / "transformers" / "kserve_transformers")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


# All in one process: most of the time of `--help` goes into imports that commands share.
PRINT_USAGES = """
import contextlib, io, json, runpy, sys
sys.path.append("tests/support")
import grpc_pools  # before the two libraries that one process may not import as they come
from modelport.cli import COMMANDS
usages = {}
for name, command in COMMANDS.items():
    sys.argv = [name, *command.arguments, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            runpy.run_module(command.module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            assert not end.code, name
    usages[name] = printed.getvalue()
print(json.dumps(usages))
"""


@functools.cache
def usages():
    """What each command of modelport prints for --help."""
    command = [sys.executable, "-P", "-W", "ignore", "-c", PRINT_USAGES]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@each_document
def test_links_lead_somewhere(document):
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_every_document_is_reached_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    deploy = ROOT / "docs" / "deploy.md"
    linked |= {(deploy.parent / link.partition("#")[0]).resolve() for link in links(deploy)}
    assert set(DOCUMENTS) <= {*linked, ROOT / "README.md"}


@each_document
def test_files_that_are_named_exist(document):
    """Folders, and files with the ending of a source; what is built, and capitals as placeholders, are left out."""
    for path in re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|yaml|md|in|jpg))?)`", prose(document)):
        if not re.search(r"^build/|\b[A-Z]+\b(?!\.md)", path):
            folders = (*CODE, document.parent, ROOT / "model_repository" / "yolov3_tiny")
            assert any((folder / path).exists() for folder in folders), path


@each_document
def test_commands_and_their_options_exist(document):
    for command in commands(document):
        program, *rest = words(command)
        if program == "make":
            targets = [word for word in rest if "=" not in word]
            assert set(targets) <= TARGETS, command
            variables = dict(word.split("=", 1) for word in rest if "=" in word)
            assert set(variables) <= VARIABLES, command
            for target in targets:
                if target in TO_MODELPORT:
                    check_options(TO_MODELPORT[target], words(variables.get("ARGS", "")), command)
        elif program == "modelport" and rest[0].islower() and rest[0] != "help":
            assert rest[0] in COMMANDS, command
            check_options(rest[0], rest[1:], command)


def test_options_of_the_transformer_server_exist():
    """They are written with underscores; nobody else's are."""
    run = [sys.executable, "-P", "-m", "kserve_transformers", "--help"]
    known = set(re.findall(r"--\w+", subprocess.run(run, capture_output=True, text=True, check=True).stdout))
    named = {one for document in DOCUMENTS for one in re.findall(r"`(--[a-z]+_\w+)", prose(document))}
    assert named
    assert named <= known


def test_selections_of_tests_select_some():
    """What `make test ARGS=...` names is a file of tests, or stands in the name of one or of a test."""
    named = [word for document in DOCUMENTS for one in commands(document) for word in words(one) if "make test" in one]
    selections = [word.removeprefix("ARGS=") for word in named if word.startswith("ARGS=")]
    assert selections
    names = "".join(f"{path} {path.read_text()}" for path in (ROOT / "tests").rglob("test_*.py"))
    for selection in selections:
        for word in set(selection.replace("-k", "").replace("'", "").split()) - {"and", "or", "not"}:
            assert word in names, selection


def check_options(command: str, given: list[str], shown: str) -> None:
    for option in (word for word in given if word.startswith("--") and word != "--help"):
        assert re.search(rf"{option}\b", usages()[command]), f"{shown}: {option}"


# The command of modelport that a make target calls.
TO_MODELPORT = {
    target: command
    for target, command in re.findall(r"(?m)^([a-z-]+):.*\n\t@(?:exec )?\$\(RUN\) ([a-z]+)", MAKEFILE)
    if command in COMMANDS
}


def test_every_command_has_its_line():
    text = (ROOT / "docs" / "commands.md").read_text()
    documented = set(re.findall(r"(?m)^\| .*$", text))
    listed = set(re.findall(r"(?m)^([a-z-]+):.*## ", MAKEFILE))
    missing = {f"make {target}" for target in listed if not any(f"`make {target}`" in line for line in documented)}
    missing |= {f"modelport {one}" for one in COMMANDS if not any(f"`modelport {one}`" in line for line in documented)}
    assert not missing, "add a line to docs/commands.md"


def test_messages_in_troubleshooting_are_printed():
    """Each quoted message stands in our code, up to what varies in it."""
    packages = ("modelport", "transformers/kserve_transformers", "export/exporters", "triton/backends")
    code = "".join(path.read_text() for package in packages for path in (ROOT / package).rglob("*.py"))
    quoted = re.findall(r"\*\*`([^`]+)`", (ROOT / "docs" / "troubleshooting.md").read_text())
    assert len(quoted) > 10
    for message in (one for one in quoted if " " in one and '"' not in one):
        constant = max(VARIES.split(message), key=len).strip()
        assert constant in code, message


@each_document
def test_blocks_of_bash_are_well_formed(document):
    for block in blocks(document):
        assert block.language, "every block says its language"
        if block.language == "bash":
            text = block.text.replace("<this repository>", "URL")
            run = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
