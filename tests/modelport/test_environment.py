"""Set-up: one command makes the environment, a second one costs nothing, and every failure is one line."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from wheels import write_wheel

from modelport import environment
from modelport.environment import __main__ as entry
from modelport.environment import machine, pytorch

SERVES = ("transformers.txt", "serve.txt", "reference.txt", "openvino.txt")
FILES = (
    *SERVES,
    "dev.txt",
    "torch.txt",
    "torchvision.txt",
    "torch-build.txt",
    "torch-cuda.txt",
    "tensorflow.txt",
    "quantise.txt",
)
# What hatchling does for the real project, without it: an editable wheel with nothing in it.
BACKEND = """
import zipfile

def build_editable(folder, settings=None, metadata=None):
    name = "project-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("project-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: project\\nVersion: 1.0\\n")
        wheel.writestr("project-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("project-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = """
[project]
name = "project"
version = "1.0"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
TINY = {"tiny/__init__.py": b""}
SetUp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose requirement files ask for nothing."""
    (tmp_path / "requirements").mkdir()
    shutil.copytree(Path(environment.__file__).parent, tmp_path / "modelport" / "environment")
    (tmp_path / "modelport" / "__init__.py").touch()
    shutil.copy(environment.ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    for name in FILES:
        (tmp_path / "requirements" / name).touch()
    return tmp_path


@pytest.fixture
def set_up(checkout):
    """Runs set-up there, with no package index in reach but a folder of wheels."""
    pip = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}
    others = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    others |= {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}  # nor PyTorch's index

    def run(*needs: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "modelport.environment", *needs]
        environ = {**others, **pip, **changes}
        return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)

    return run


def imports(checkout: Path, folder: str, module: str) -> bool:
    """Whether an environment's Python finds a module."""
    code = f"import sys, importlib.util; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([checkout / folder / "bin" / "python", "-Pc", code], check=False).returncode == 0


def steps(run: subprocess.CompletedProcess[str]) -> list[str]:
    """The files that a run installed, in order."""
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("setup: installed ")]
    return [line[2] for line in lines]


def test_first_call_installs_what_serves_and_second_call_does_nothing(checkout, set_up):
    digest = write_wheel(checkout, "tiny", TINY)
    (checkout / "requirements" / "serve.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    first = set_up(PIP_FIND_LINKS=str(checkout), PIP_NO_INDEX="1")
    assert steps(first) == [*SERVES, "pyproject.toml"]
    assert imports(checkout, ".venv", "tiny")
    assert {path.name for path in checkout.glob(".venv*")} == {".venv"}, "no framework where nobody asked for one"
    installed = (checkout / "build" / "logs" / "setup.log").read_text()
    assert "tiny" in installed
    second = set_up()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (checkout / "build" / "logs" / "setup.log").read_text() == installed

    (checkout / "requirements" / "openvino.txt").write_text("# changed\n")
    assert steps(set_up("test")) == ["openvino.txt", "dev.txt"]


def test_framework_is_a_layer_that_sees_the_base_and_is_not_seen_by_it(checkout, set_up):
    links = {"PIP_FIND_LINKS": str(checkout), "PIP_NO_INDEX": "1"}
    for file, name in (("serve.txt", "tiny"), ("tensorflow.txt", "tensorflow")):
        digest = write_wheel(checkout, name, {f"{name}/__init__.py": b""})
        (checkout / "requirements" / file).write_text(f"{name}==1.0 --hash=sha256:{digest}\n")
    assert steps(set_up("tensorflow", **links)) == [*SERVES, "pyproject.toml", "tensorflow.txt"]
    assert imports(checkout, ".venv-tensorflow", "tiny")
    assert imports(checkout, ".venv-tensorflow", "tensorflow")
    assert not imports(checkout, ".venv", "tensorflow")
    assert not (checkout / ".venv-torch").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        pytest.param("", "torch is the build for processors, from your package index", id="of an index that has it"),
        pytest.param("torch/lib/libtorch_cuda.so", "torch is the build for CUDA", id="as on PyPI, with CUDA"),
    ],
)
def test_torch_comes_from_the_package_index_where_pytorchs_own_does_not_answer(checkout, set_up, extra, said):
    write_wheel(checkout, "torch", {"torch/__init__.py": b"", **({extra: b""} if extra else {})})
    digest = write_wheel(checkout, "cublas", {"cublas/__init__.py": b""})
    (checkout / "requirements" / "torch-build.txt").write_text("torch==1.0\n")
    (checkout / "requirements" / "torch-cuda.txt").write_text(f"cublas==1.0 --hash=sha256:{digest}\n")
    run = set_up("torch", PIP_FIND_LINKS=str(checkout), PIP_NO_INDEX="1")
    assert steps(run)[-3:] == ["torch.txt", "torchvision.txt", "torch-build.txt"]
    assert said in run.stdout
    assert "PyTorch's own did not answer" in run.stdout
    assert imports(checkout, ".venv-torch", "torch")
    assert imports(checkout, ".venv-torch", "cublas") == bool(extra)


def test_index_that_accepts_a_connection_and_never_answers_is_passed_over(monkeypatch):
    monkeypatch.setattr(pytorch, "TORCH_CPU_INDEX_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not pytorch.answers(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_index_that_answers_is_used(httpserver, monkeypatch):
    monkeypatch.setattr(pytorch, "TORCH_CPU_INDEX_TIMEOUT_S", 300.0)
    httpserver.expect_request("/").respond_with_data("packages")
    httpserver.expect_request("/missing/").respond_with_data("none", 404)
    assert pytorch.answers(httpserver.url_for("/"))
    monkeypatch.setattr(pytorch, "TORCH_CPU_INDEX_TIMEOUT_S", 0.2)
    assert not pytorch.answers(httpserver.url_for("/missing/"))


def test_unknown_need_is_refused_with_the_list(set_up, checkout):
    run = set_up("pytorch")
    assert run.returncode == 2
    assert (
        "there is no 'pytorch': choose one of serve, manifests, client, releases, bench, test, torch, tensorflow"
        in run.stderr
    )
    assert not (checkout / ".venv").exists()


def test_no_network_is_one_line(checkout, set_up):
    (checkout / "requirements" / "transformers.txt").write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    run = set_up(PIP_RETRIES="0")
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith("setup: no network: pip cannot reach its package index; connect, or set PIP_INDEX_URL")
    assert "127.0.0.1" in (checkout / "build" / "logs" / "setup.log").read_text()


def test_package_with_another_hash_is_refused_in_one_line(checkout, set_up):
    write_wheel(checkout, "tiny", TINY)
    (checkout / "requirements" / "transformers.txt").write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    run = set_up(PIP_FIND_LINKS=str(checkout), PIP_NO_INDEX="1")
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert "DO NOT MATCH THE HASHES" in line
    assert "transformers.txt" in line
    assert not (checkout / ".venv" / "modelport.json").exists()


def test_this_python_fits():
    assert machine.unfitness() is None
    library = machine.shared_library()
    assert library is not None
    assert library.name == f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"


def test_other_version_of_python_is_one_line(monkeypatch):
    monkeypatch.setattr(machine, "SUPPORTED", ((3, 99),))
    line = machine.unfitness()
    assert line is not None
    assert "Python 3.11, 3.12 or 3.13 is needed" in line
    assert "PYTHON=/path/to/python3" in line


def test_missing_shared_library_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    line = machine.unfitness()
    assert line is not None
    assert "no shared library" in line
    assert "apt install libpython" in line


def test_other_processor_is_one_line(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "needs Linux on x86_64, this is linux on aarch64" in str(machine.unfitness())


@pytest.mark.parametrize(
    ("library", "fits"),
    [("glibc 2.34", False), ("glibc 2.35", True), ("glibc 2.36", True), ("glibc 3.0", True), (None, False)],
)
def test_c_library_has_to_be_new_enough(monkeypatch, library, fits):
    monkeypatch.setattr(os, "confstr", lambda _: library)
    assert (machine.unfitness() is None) == fits


def test_checkout_in_a_path_that_a_shell_would_split_is_refused_at_once(checkout, tmp_path):
    for name in ("with space", "with:colon", "with'quote", "with$dollar", "modèle"):
        copied = shutil.copytree(checkout / "modelport", tmp_path / name / "modelport").parent
        command = [sys.executable, "-m", "modelport.environment"]
        run = subprocess.run(command, cwd=copied, capture_output=True, text=True, check=False)
        assert run.returncode == 1
        (line,) = run.stderr.splitlines()
        assert "move the checkout to a path of ASCII letters, without spaces, colons or quotes" in line
        assert not (copied / ".venv").exists()


def test_checkout_that_cannot_be_written_is_one_line(monkeypatch):
    monkeypatch.setattr(machine, "ROOT", Path("/proc/1"))
    line = machine.unusable_checkout()
    assert line is not None
    assert line.startswith("cannot write into /proc/1 (")


OLD = """#!/bin/sh
case "$*" in *version_info*) exit 1;; esac
echo "  File steps.py, line 1 SyntaxError" >&2; exit 1
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(OLD, "is missing or older than 3.7", id="Python 2.7 or 3.6"),
        pytest.param(None, "is missing or older than 3.7", id="no such program"),
    ],
)
def test_python_that_cannot_read_the_code_is_told_so_by_make(checkout, script, said):
    python = checkout / "old-python"
    if script:
        python.write_text(script)
        python.chmod(0o755)
    command = ["make", "setup", f"PYTHON={python}"]
    run = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert run.returncode
    assert said in run.stdout
    assert "SyntaxError" not in run.stdout + run.stderr


def test_python_that_is_named_is_used_or_refused(monkeypatch, capsys):
    monkeypatch.setattr(entry, "version_of", lambda _: "3.99.1")
    assert entry.main(["--exactly"]) == 1
    assert ".venv has Python 3.99.1" in capsys.readouterr().err
    monkeypatch.setattr(entry, "version_of", lambda _: "")
    monkeypatch.setattr(entry, "unfitness", lambda: "Python 3.11 is needed, this is 3.10: install one")
    monkeypatch.setattr(entry, "other_python", lambda: pytest.fail("another Python was looked for"))
    monkeypatch.setattr(entry, "set_up", lambda *_: 1)
    assert entry.main(["--exactly"]) == 1
