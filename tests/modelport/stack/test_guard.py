"""Nothing that a guarded command started outlives the stack, however the stack ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from processes import running
from waiting import wait_for

from modelport.stack import guard
from modelport.stack.guarded_process import GuardedProcess

# a command with a child of its own that ignores SIGTERM and keeps a shared-memory file
FAMILY = """
import pathlib, signal, subprocess, sys, time
pathlib.Path("/dev/shm", sys.argv[1] + "region").write_text("held")
stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(child.pid, flush=True)
time.sleep(99)
"""
# a stack that owns one such command, and then waits to be killed; by SIGHUP, too, where the tests run under nohup
STACK = """
import os, pathlib, signal, sys, time
from modelport.stack.guarded_process import GuardedProcess
signal.signal(signal.SIGHUP, signal.SIG_DFL)
family, log, prefix = sys.argv[1:]
command = [sys.executable, "-c", family, prefix]
GuardedProcess(command, os.environ, pathlib.Path(log), pathlib.Path("/"), 5, prefix).start()
time.sleep(99)
"""
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
SERVING = Path(guard.__file__).parents[1]


@pytest.fixture
def prefix():
    return f"modelport-test-{os.getpid()}-{time.monotonic_ns()}-"


def regions(prefix: str) -> list[Path]:
    return list(guard.SHARED_MEMORY.glob(f"{prefix}*"))


def started(log: Callable[[], str]) -> int:
    """Pid of the command's child, once it is there."""
    wait_for(lambda: log().strip())
    return int(log())


@pytest.fixture
def guarded(prefix, tmp_path):
    """Makes a guarded Python process that runs a script; it is stopped after the test."""
    processes = []

    def build(script: str, grace_s: float = 5) -> GuardedProcess:
        command = [sys.executable, "-c", script, prefix]
        processes.append(GuardedProcess(command, os.environ, tmp_path / "log", tmp_path, grace_s, prefix))
        return processes[-1]

    yield build
    for process in processes:
        process.stop()


@pytest.fixture
def family(guarded):
    process = guarded(FAMILY)
    process.start()
    return process


def test_stop_ends_command_child_and_shared_memory(family, prefix):
    child = started(family.log)
    assert family.is_alive()
    assert regions(prefix)
    family.stop()
    assert family.exit_code() == 7
    assert not running(child)
    assert not regions(prefix)


def test_stop_kills_a_command_that_will_not_end(guarded):
    process = guarded(STUBBORN, grace_s=0.3)
    process.start()
    started(process.log)
    process.stop()
    assert process.exit_code() == 128 + signal.SIGKILL


def test_command_that_ended_by_itself_can_start_again(guarded):
    process = guarded("print('once'); exit(3)")
    for _ in range(2):
        process.start()
        wait_for(lambda: not process.is_alive())
        assert process.exit_code() == 3
        assert process.log() == "once\n"


def test_killed_command_takes_its_orphan_along(family, prefix):
    child = started(family.log)
    psutil.Process(child).parent().kill()
    wait_for(lambda: not family.is_alive())
    assert family.exit_code() == 128 + signal.SIGKILL
    assert not running(child)
    assert not regions(prefix)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_dead_stack_leaves_nothing_within_five_seconds(prefix, tmp_path, number):
    log = tmp_path / "log"
    log.touch()
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with subprocess.Popen([sys.executable, "-c", STACK, FAMILY, str(log), prefix], env=environment) as stack:
        try:
            child = started(log.read_text)
            command = psutil.Process(child).parent()
            watcher = command.parent()
            assert guard.__file__ in watcher.cmdline()
        finally:
            stack.send_signal(number)
    wait_for(lambda: not any(running(pid) for pid in (child, command.pid, watcher.pid)))
    assert not regions(prefix)


def test_killed_guard_takes_the_command_along(family):
    child = psutil.Process(started(family.log))
    command = child.parent()
    command.parent().kill()
    wait_for(lambda: not running(command))
    assert not family.is_alive()
    child.kill()  # an orphan that looks after nobody; Triton's backend processes end when their server has gone


def test_ctrl_c_in_the_terminal_does_not_reach_the_command(family):
    child = started(family.log)
    assert os.getsid(child) != os.getsid(0)
