"""A new user's first command: from an empty folder, through set-up by the package index alone, to a detection."""

import base64
import os
import shutil
import signal
import subprocess
import sys

import httpx
import pytest

from modelport.environment import ROOT
from modelport.stack.server import free_ports

pytestmark = pytest.mark.slow

# A detector is served without them; 1.2 GB is what its clone takes, half of it what KServe's server depends on.
NOT_INSTALLED = ("torch", "tensorflow", "triton", "nvidia", "pytest", "ruff", "locust", "obstore")
MAX_BYTES = 1_500_000_000


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The files that git tracks or would track, as they are now, and nothing that was installed or built."""
    folder = tmp_path_factory.mktemp("clone") / "modelport"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def serving(clone):
    """`make serve SERVICES=detector` in the clone, with an empty cache of packages: its address, and what it said."""
    port, _, triton_port, *_ = free_ports(5)
    command = ["make", "serve", "SERVICES=detector", f"PORT={port}", f"TRITON_PORT={triton_port}"]
    environment = {**os.environ, "PIP_CACHE_DIR": str(clone.parent / "cache"), "PYTHON": sys._base_executable}
    with subprocess.Popen(
        command,
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as make:
        said: list[str] = []
        for line in make.stdout or ():
            said.append(line.rstrip())
            if line.startswith("ready: "):
                break
        yield f"http://127.0.0.1:{port}", said
        os.killpg(make.pid, signal.SIGINT)
        make.communicate()


def test_ready_line_comes_and_each_step_said_what_it_did(serving):
    url, said = serving
    assert said[-1] == f"ready: {url}", "\n".join(said)
    steps = [line for line in said if line.startswith("setup: installed ")]
    assert [line.split()[2] for line in steps] == [
        "transformers.txt", "serve.txt", "reference.txt", "openvino.txt", "pyproject.toml",
    ]  # fmt: skip


def test_photo_is_answered(serving, images):
    photo = base64.b64encode((images / "coffee.jpg").read_bytes()).decode()
    answer = httpx.post(f"{serving[0]}/detector/api/", json={"id": 7, "image": photo}, timeout=60).json()
    assert answer["id"] == 7
    assert [found["label"] for found in answer["detections"]] == ["cup"]


def test_only_what_serves_a_detector_is_installed(serving, clone):
    (packages,) = clone.glob(".venv/lib/python*/site-packages")
    assert [name for name in NOT_INSTALLED if (packages / name).exists()] == []
    assert [path.name for path in clone.glob(".venv*")] == [".venv"]
    size = sum(path.lstat().st_size for path in clone.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < MAX_BYTES
