"""What the kernel tells of real processes."""

import os
import signal
import subprocess
import sys

import pytest
from waiting import wait_for

from modelport.stack.diagnosis import ProcessSight
from modelport.stack.sight import see


@pytest.fixture
def start():
    """Starts a Python program; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(program: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", program]))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def sight(process: subprocess.Popen[bytes]) -> ProcessSight:
    seen = see(process.pid, closely=True)
    assert seen is not None
    return seen


def test_a_process_that_works(start):
    """Two of them share one processor, so that each has to wait for it."""
    program = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\nwhile True: pass"
    process, _ = start(program), start(program)
    first = sight(process)
    wait_for(lambda: sight(process).worked_s > first.worked_s + 0.1)
    wait_for(lambda: sight(process).waited_s > first.waited_s)


def test_a_process_that_is_stopped_and_then_killed(start):
    process = start("import time; time.sleep(1000)")
    wait_for(lambda: sight(process).state == "S")
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: sight(process).state == "T")
    process.kill()
    wait_for(lambda: sight(process).state == "Z")
    process.wait()
    assert see(process.pid, closely=True) is None


def test_a_process_with_a_runnable_thread_is_runnable(start):
    """Its first thread sleeps; another one computes, or waits for a processor."""
    process = start("import threading as t; t.Thread(target=lambda: [None for _ in iter(int, 1)]).start()")
    wait_for(lambda: see(process.pid, closely=False).state == "S" and sight(process).state == "R")


def test_threads_that_wait_count():
    mine = see(os.getpid(), closely=True)
    assert mine is not None
    assert see(os.getpid(), closely=False).waited_s == 0.0
