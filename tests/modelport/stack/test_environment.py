"""Set-up: one command makes the environment, a second one costs nothing, and every failure is one line."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelport import environment

FILES = ("transformers.txt", "models.txt", "torch.txt", "extras.txt", "dev.txt")
SetUp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose requirement files ask for nothing."""
    (tmp_path / "serving" / "local_stack").mkdir(parents=True)
    (tmp_path / "requirements").mkdir()
    shutil.copy(environment.__file__, tmp_path / "serving" / "local_stack")
    for name in FILES:
        (tmp_path / "requirements" / name).touch()
    return tmp_path


@pytest.fixture
def set_up(checkout: Path) -> SetUp:
    """Runs set-up there, with no package index in reach."""
    pip = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}
    others = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "modelport/stack/environment.py", *arguments]
        environ = {**others, **pip, **changes}
        return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)

    return run


def wheel(folder: Path) -> None:
    """The smallest package that pip installs."""
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny.py", "answer = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")


def test_first_call_installs_and_second_call_does_nothing(checkout: Path, set_up: SetUp) -> None:
    wheel(checkout)
    digest = subprocess.run(
        ["sha256sum", checkout / "tiny-1.0-py3-none-any.whl"], capture_output=True, text=True, check=True
    )
    (checkout / "requirements" / "models.txt").write_text(f"tiny==1.0 --hash=sha256:{digest.stdout.split()[0]}\n")
    first = set_up(PIP_FIND_LINKS=str(checkout), PIP_NO_INDEX="1")
    assert first.returncode == 0, first.stderr
    run = subprocess.run(
        [checkout / ".venv/bin/python", "-c", "import tiny; print(tiny.answer)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "42\n"
    assert set(json.loads((checkout / ".venv" / "modelport.json").read_text())) == set(FILES) - {"dev.txt"}
    installed = (checkout / "build" / "logs" / "setup.log").read_text()
    assert "tiny" in installed
    second = set_up()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (checkout / "build" / "logs" / "setup.log").read_text() == installed

    (checkout / "requirements" / "extras.txt").write_text("# changed\n")
    third = set_up("--dev")
    assert [line.split()[1] for line in third.stdout.splitlines()] == ["extras.txt", "dev.txt"]


def test_no_network_is_one_line(checkout: Path, set_up: SetUp) -> None:
    (checkout / "requirements" / "transformers.txt").write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    run = set_up(PIP_RETRIES="0")
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.startswith("setup: no network: pip cannot reach its package index; connect, or set PIP_INDEX_URL")
    assert "127.0.0.1" in (checkout / "build" / "logs" / "setup.log").read_text()


def test_package_with_another_hash_is_refused_in_one_line(checkout: Path, set_up: SetUp) -> None:
    wheel(checkout)
    (checkout / "requirements" / "transformers.txt").write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    run = set_up(PIP_FIND_LINKS=str(checkout), PIP_NO_INDEX="1")
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert "DO NOT MATCH THE HASHES" in line
    assert "transformers.txt" in line
    assert not (checkout / ".venv" / "modelport.json").exists()


def test_this_python_fits() -> None:
    assert environment.unfitness() is None
    library = environment.shared_library()
    assert library is not None
    assert library.name == f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"


def test_other_version_of_python_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "SUPPORTED", ((3, 99),))
    line = environment.unfitness()
    assert line is not None
    assert "Python 3.11, 3.12 or 3.13 is needed" in line
    assert "PYTHON=/path/to/python3" in line


def test_missing_shared_library_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    line = environment.unfitness()
    assert line is not None
    assert "no shared library" in line
    assert "apt install libpython" in line


def test_other_processor_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "needs Linux on x86_64, this is linux on aarch64" in str(environment.unfitness())


@pytest.mark.parametrize(
    ("library", "fits"),
    [("glibc 2.34", False), ("glibc 2.35", True), ("glibc 2.36", True), ("glibc 3.0", True), (None, False)],
)
def test_c_library_has_to_be_new_enough(monkeypatch: pytest.MonkeyPatch, library: str | None, fits: bool) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: library)
    assert (environment.unfitness() is None) == fits
