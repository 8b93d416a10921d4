"""The checkout, what is said to the person at the terminal, and the error of set-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CommandError(Exception):
    """A command cannot go on; the message is the one line that a person reads: what is wrong and what to do."""


class SetupError(CommandError):
    """Set-up cannot go on."""


def git(*arguments: str) -> str:
    """What git says of this checkout; empty where it fails, as outside of one."""
    run = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""


def say(text: str, end: str = "\n", error: bool = False) -> None:
    """Print a line for the user; where the reader has closed the pipe (`| head`), the command ends."""
    try:
        print(text, end=end, flush=True, file=sys.stderr if error else sys.stdout)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would complain at the exit
        sys.exit(128 + signal.SIGPIPE)
