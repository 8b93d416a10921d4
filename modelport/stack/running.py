"""What a running stack publishes to other processes of the same checkout about itself: build/run/PORT/stack.json."""

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from exporters.files import replace_file
from exporters.repository import versions
from modelport.environment import ROOT

FOLDER = ROOT / "build" / "run"
FILE = "stack.json"


@dataclass(frozen=True)
class Running:
    """A stack that serves."""

    port: int  # where callers reach it
    repository: str  # its model repository
    overlay: str  # that it serves; empty without one
    transformers: Mapping[str, int]  # REST port of each transformer server, by name
    logs: Sequence[str]  # files of the servers
    exported: Mapping[str, int]  # when the artefact of each model was written, in nanoseconds, as the stack found it
    pid: int = field(default_factory=os.getpid)  # of the stack's process
    started: float = field(default_factory=time.time)  # in seconds since the epoch

    def write(self) -> None:
        """Write it, in a folder that only this user can enter."""
        folder = run_folder(self.port)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        replace_file(folder / FILE, json.dumps(dataclasses.asdict(self)).encode())

    def newer(self) -> list[str]:
        """The models whose artefacts have been exported since the stack started."""
        now = exported(Path(self.repository))
        return [model for model, written in self.exported.items() if now.get(model, written) > written]


@contextlib.contextmanager
def claimed(name: str) -> Iterator[bool]:
    """Take what one stack of this checkout can have at a time, such as a port, from before it listens there.

    Args:
        name: of what is taken.

    Yields:
        Whether it was free. It is held until the block, or this process, ends.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def run_folder(port: int) -> Path:
    """What belongs to the stack on a port while it runs."""
    return FOLDER / str(port)


def exported(repository: Path) -> dict[str, int]:
    """When the newest version of each model of a repository was written, in nanoseconds since the epoch."""
    found = {}
    for config in repository.glob("*/config.pbtxt"):
        version = config.parent / str(max(versions(config.parent), default=0))
        written = [file.stat().st_mtime_ns for file in version.rglob("*") if file.is_file()]
        if written:
            found[config.parent.name] = max(written)
    return found


def running(port: int | None = None) -> Iterator[Running]:
    """The stacks of this checkout that run now, or the one on a port."""
    for file in sorted(FOLDER.glob(f"{port or '*'}/{FILE}")):
        try:
            found = Running(**json.loads(file.read_text()))
            began = psutil.Process(found.pid).create_time()
        except (OSError, ValueError, TypeError, psutil.NoSuchProcess):
            continue
        if began <= found.started:  # else another process has the number now
            yield found


def newer(model: str) -> str:
    """What to do where an artefact has been exported since the stack started."""
    return (
        f"{model} has been exported since: restart `make serve` to serve it, or, without losing a request, "
        "`make release SERVICE=...` and `make update SERVICE=... RELEASE=...`"
    )
