"""Finding processes by their command lines."""

import contextlib
import os

import psutil

STUB, TRITON, TRANSFORMER = "triton_python_backend_stub", "bin/tritonserver", "kserve_transformers"


def running(process: psutil.Process | int) -> bool:
    """Whether a process, given itself or by its pid, exists and is not a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process) if isinstance(process, int) else process
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def matching(*words: str, under: int | None = None, guards: bool = False) -> list[psutil.Process]:
    """Running processes with all these words in their command line, except for this one.

    Args:
        words: parts of the command line.
        under: pid of an ancestor; default: all processes of the machine.
        guards: whether guards count, whose command lines hold those of what they guard.
    """
    found = psutil.process_iter() if under is None else psutil.Process(under).children(recursive=True)
    return [process for process in found if _matches(process, words, guards)]


def _matches(process: psutil.Process, words: tuple[str, ...], guards: bool) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        command = " ".join(process.cmdline())
        if all(word in command for word in words) and (guards or "guard.py" not in command):
            return process.pid != os.getpid() and running(process)
    return False
