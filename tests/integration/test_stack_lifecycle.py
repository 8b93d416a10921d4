"""`modelport serve` as a person runs it: it starts, serves, supervises and ends everything, however it ends itself."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid

import psutil
import pytest
from waiting import wait_for

from modelport.environment import ROOT
from modelport.stack.guard import SHARED_MEMORY
from modelport.stack.server import free_ports

MARK = "MODELPORT_TEST"
ENVIRONMENT = {**os.environ, "PYTHONSAFEPATH": "1"}
COMMAND = [sys.executable, "-m", "modelport.stack", "--services=detector", "--die-with-parent"]
# a parent that only waits, as make does
PARENT = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"


class Serving:
    """A stack for the detector alone, all that belongs to it and what it prints.

    Args:
        port: REST; gRPC is the next one.
        triton_port: REST, gRPC, metrics.
        under: command that runs the stack, where it is not to be run directly.
    """

    def __init__(self, port: int, triton_port: int, under: tuple[str, ...] = ()) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.triton_url = f"http://127.0.0.1:{triton_port}"
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*under, *COMMAND, f"--port={port}", f"--triton-port={triton_port}"],
            cwd=ROOT,
            env={**ENVIRONMENT, MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_until(self, text: str) -> None:
        """Read what it prints up to a line with this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return
        raise AssertionError(f"{text!r} never came: {self.lines}")

    def members(self, name: str = "") -> list[psutil.Process]:
        """All of its processes that run, or those of a program."""
        found = []
        for process in psutil.process_iter(["status"]):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                ours = process.info["status"] != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark
                words = process.cmdline() if ours else []
                if ours and (not name or ("guard.py" not in str(words) and name in str(words))):
                    found.append(process)
        return found

    def regions(self) -> list[str]:
        """Its shared-memory files: a stack's pid is in their names."""
        pids = [process.pid for process in self.members("modelport.stack")]
        return [path.name for pid in pids for path in SHARED_MEMORY.glob(f"modelport-{pid}-*")]


@pytest.fixture
def new_serving():
    """Starts stacks on free ports; they are ended after the test, and what is left of them is killed."""
    started: list[Serving] = []

    def start(*under: str, port: int | None = None) -> Serving:
        first, _, triton_port, *_ = free_ports(5)
        started.append(Serving(port or first, triton_port, under))
        return started[-1]

    yield start
    for serving in started:
        serving.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            serving.process.communicate(timeout=300)
        for member in serving.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        serving.process.communicate()


def left(serving: Serving, regions: list[str]) -> list[object]:
    """Processes and shared-memory files that are still there."""
    return [*serving.members(), *(path for path in SHARED_MEMORY.glob("modelport-*") if path.name in regions)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_output_tells_what_is_served_and_when_asked_to_end_it_leaves_nothing(new_serving, number):
    serving = new_serving()
    serving.read_until("ready: ")
    assert serving.lines[-1] == f"ready: {serving.url}"
    table = [line.split() for line in serving.lines]
    assert ["service", "model", "weights", "state"] in table
    assert ["detector", "yolov3_tiny", "trained", "ready"] in table
    (curl,) = [line for line in serving.lines if "curl" in line]
    answer = subprocess.run(curl, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S602
    assert '"detections":[' in answer.stdout.replace(" ", "")
    regions = serving.regions()
    assert regions
    serving.process.send_signal(number)
    assert serving.process.wait(300) == 0
    assert left(serving, regions) == []


@pytest.mark.parametrize(
    ("under", "until"),
    [
        pytest.param((), "starting ", id="the stack itself, while it starts"),
        pytest.param((sys.executable, "-c", PARENT), "ready: ", id="its parent (make)"),
    ],
)
def test_kill_9_leaves_nothing_within_five_seconds(new_serving, under, until):
    serving = new_serving(*under)
    serving.read_until(until)
    if under:
        assert len(serving.members()) >= 6  # stack, two guards, Triton, its backend process, transformer server
    else:
        time.sleep(0.3)  # in the middle of loading
    regions = serving.regions()
    assert regions or not under
    serving.process.kill()
    wait_for(lambda: not left(serving, regions))  # within five seconds; what is left over stays for ever


def test_ctrl_c_while_it_starts_leaves_nothing(new_serving):
    serving = new_serving()
    serving.read_until("starting ")
    time.sleep(0.3)
    regions = serving.regions()
    serving.process.send_signal(signal.SIGINT)
    assert serving.process.wait(300) == 0
    wait_for(lambda: not left(serving, regions))  # within five seconds; what is left over stays for ever


def test_taken_port_is_one_line_and_nothing_is_started(new_serving):
    with socket.create_server(("127.0.0.1", free_ports(2)[0])) as taken:
        port = taken.getsockname()[1]
        serving = new_serving(port=port)
        output, _ = serving.process.communicate(timeout=300)
    assert serving.process.returncode == 1
    (line,) = output.splitlines()
    assert re.search(rf"port {port} \(REST\) .*in use.*make serve PORT=\d+", line)
