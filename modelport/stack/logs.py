"""`modelport logs`: the logs of a running stack's servers in one, by time; for a person on a terminal, else JSON."""

import argparse
import contextlib
import heapq
import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelport.environment import say
from modelport.stack.running import Running, running
from modelport.stack.status import NONE_RUNS

POLL_S = 0.25
_TRITON = re.compile(r'([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d+) \d+ \S+\] "?(.*?)"?$')
_ENVOY = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\]\[\d+\]\[(\w+)\]\[\w+\] (?:\[[^]]*\] )?(.*)$")
_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}


@dataclass(frozen=True)
class Entry:
    """One line of a log. `time` is ISO 8601, in UTC."""

    time: str
    server: str
    level: str
    message: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the logs; returns the exit code, 3 where nothing runs."""
    parser = argparse.ArgumentParser(prog="modelport logs", description=__doc__)
    parser.add_argument("--port", type=int, help="of the stack, where several run")
    parser.add_argument("--lines", type=int, default=50, help="the last so many; 0: all (default: %(default)s)")
    parser.add_argument("--follow", "-f", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="JSON on a terminal, too")
    options = parser.parse_args(arguments)
    found = [*running(options.port)]
    if len(found) != 1:
        several = ", ".join(str(stack.port) for stack in found)
        say(f"several stacks run: choose one by --port: {several}" if found else "no stack runs", error=True)
        return 2 if found else NONE_RUNS
    human = sys.stdout.isatty() and not options.json
    with contextlib.suppress(KeyboardInterrupt):
        for entry in chosen(found[0], options.lines, options.follow):
            say(_told(entry) if human else json.dumps(asdict(entry)))
    return 0


def chosen(stack: Running, count: int, follow: bool) -> Iterator[Entry]:
    """The last entries since the stack started; then, to follow it, what is written."""
    began = _iso(datetime.fromtimestamp(stack.started, UTC))
    tails = [_Tail(Path(file)) for file in stack.logs]
    past = heapq.merge(*(tail.read() for tail in tails), key=lambda entry: entry.time)
    yield from deque((entry for entry in past if entry.time >= began), count or None)
    while follow:
        time.sleep(POLL_S)
        yield from sorted((entry for tail in tails for entry in tail.read()), key=lambda entry: entry.time)


def _told(entry: Entry) -> str:
    return f"{entry.time[11:23]} {entry.server:<12} {entry.level:<8} {entry.message}"


class _Tail:
    """The lines of a file that have been written since it was last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._last = ""

    def read(self) -> list[Entry]:
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._at += len(whole)
            return [*self._entries(whole.decode(errors="replace").splitlines())]
        return []

    def _entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        """A line without a time of its own, as of a traceback, has that of the line before."""
        for line in filter(str.strip, lines):
            entry = parsed(self._path.stem, line, self._last)
            self._last = entry.time
            yield entry


def parsed(server: str, line: str, time_before: str = "") -> Entry:
    """A line of a transformer (JSON), of Triton or of Envoy; one that is in no known form has the time before."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError, KeyError):
            told = json.loads(line)
            when = datetime.fromisoformat(told.pop("time")).astimezone(UTC)
            level, message = told.pop("level"), told.pop("message")
            told.pop("logger", None)
            more = "".join(f" {key}={value}" for key, value in told.items())
            return Entry(_iso(when), server, level, f"{message}{more}")
    if match := _TRITON.match(line):
        level, month, day, clock, message = match.groups()
        year = datetime.now(UTC).year
        when = datetime.strptime(f"{year}-{month}-{day} {clock[:15]}", "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        return Entry(_iso(when), server, _LEVELS[level], message)
    if match := _ENVOY.match(line):
        when = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
        return Entry(_iso(when), server, match[2].upper(), match[3])
    return Entry(time_before, server, "INFO", line.strip())


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
