"""Runs one command and lets nothing of it outlive the stack. Usage: guard.py GRACE_S SHM_PREFIX COMMAND...

The stack holds the other end of this process's standard input. When that closes, however the stack ended (kill -9
too), the command and everything that it started are killed and its shared-memory files are removed. SIGTERM and
SIGINT are handed to the command, and what is left of it after GRACE_S seconds is killed. As a "subreaper" this
process inherits what the command orphans: Triton's backend processes can outlive a killed Triton. If the guard itself
is killed, the kernel kills the command.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ENDINGS = (signal.SIGTERM, signal.SIGINT)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where Triton's Python backend keeps its regions)


def prctl(option: int, argument: int) -> None:
    """The system call."""
    ctypes.CDLL(None).prctl(option, argument)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(grace_s: float, shm_prefix: str, command: list[str]) -> int:
    """Run `command`; returns its exit code, or 128 + the signal that ended it."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    for number in (signal.SIGCHLD, *ENDINGS):
        signal.signal(number, lambda *_: None)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent,  # no threads here
    )
    status = None
    deadline = None
    try:
        while status is None and (deadline is None or time.monotonic() < deadline):
            ready, _, _ = select.select([sys.stdin.fileno(), signals], [], [], 0.2 if deadline else None)
            if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 1):
                break
            for received in os.read(signals, 64) if signals in ready else b"":
                if received in ENDINGS:
                    deadline = deadline or time.monotonic() + grace_s
                    os.kill(child.pid, received)  # not reaped yet, so that the pid is its own
            status = reap(child.pid)
    finally:
        while kill_children():
            time.sleep(0.02)
        remove_regions(shm_prefix)
    return 128 + signal.SIGKILL if status is None else 128 - status if status < 0 else status


def remove_regions(prefix: str) -> None:
    """Remove the shared-memory files of an ended command."""
    for region in SHARED_MEMORY.glob(f"{prefix}*") if prefix else ():
        region.unlink(missing_ok=True)


def reap(main_pid: int) -> int | None:
    """Collect ended children; returns the exit code of `main_pid` (minus the signal) when it was among them."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == main_pid:
                return os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        return None


def kill_children() -> bool:
    """Kill our children; their own become ours, so that calling this until it is False leaves nobody."""
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(process.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            os.kill(int(process.parent.name), signal.SIGKILL)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
