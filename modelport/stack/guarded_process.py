"""A process of the stack under its guard: it ends when it is stopped, and when the stack has ended."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from modelport.stack import guard

KILL_MARGIN_S = 5.0


class GuardedProcess:
    """One command, its log file and its end. Not started yet, running or ended; start() works again after an end.

    Args:
        command: program and arguments.
        environment: the whole environment of the process.
        log_file: what it prints is added here.
        folder: its working directory.
        grace_s: time between the signal to end and SIGKILL when it is stopped.
        shm_prefix: files /dev/shm/PREFIX* are its own and go with it.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        folder: Path,
        grace_s: float,
        shm_prefix: str = "",
    ) -> None:
        self.log_file = log_file
        self._command = [sys.executable, "-IS", guard.__file__, str(grace_s), shm_prefix, *command]
        self._environment = dict(environment)
        self._folder = folder
        self._grace_s = grace_s
        self._shm_prefix = shm_prefix
        self._guard: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._pid: int | None = None

    def start(self, more: Sequence[str] = ()) -> None:
        """Start it, once what a former start left is gone. Its session is its own, so that Ctrl-C reaches us alone.

        Args:
            more: arguments that are added this time.
        """
        self.stop()
        self._pid = None
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._guard = subprocess.Popen(
                [*self._command, *more],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,  # closes when we end, however we end
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_alive(self) -> bool:
        """Whether it was started and runs."""
        return self._guard is not None and self._guard.poll() is None

    def pid(self) -> int | None:
        """Of the command itself; None where it does not run."""
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            if self.is_alive() and self._guard is not None:
                self._pid = self._pid or psutil.Process(self._guard.pid).children()[0].pid
                return self._pid
        return None

    def exit_code(self) -> int | None:
        """Exit code, 128 + N after signal N; None while it runs and before it is started."""
        return None if self._guard is None else self._guard.poll()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it: SIGTERM or SIGINT, the grace time, SIGKILL; returns when nothing of it is left."""
        if self._guard is None:
            return
        if self._guard.poll() is None:
            self._guard.send_signal(number)
        try:
            self._guard.wait(self._grace_s + KILL_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        guard.remove_regions(self._shm_prefix)  # where the guard itself was killed

    def kill(self) -> None:
        """End it at once, a stopped one too; returns when nothing of it is left."""
        if self._guard is not None and self._guard.poll() is None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()

    def memory_bytes(self) -> int:
        """Of all that it started, guard aside: proportional set size, in which shared pages count once."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._guard.pid).children(recursive=True) if self._guard else ():
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_full_info().pss
        return total

    def log(self) -> str:
        """What it printed since its last start."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
