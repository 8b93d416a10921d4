"""Runs the tests: `make test`, `make test-slow`, `make test ARGS="-k letterbox"`.

Each framework's tests run in its own environment and process. ARGS are pytest's; a path in a framework's folder runs
that session alone. Tests that are marked slow run with --slow, and where a path, -k or -m selects tests. Where nothing
selects tests, three lanes run side by side: the tests that share a stack; the frameworks' tests and then the files of
tests/integration that start stacks of their own; and all others. The last lines are the slowest tests, what was skipped
and why, and the totals of all sessions.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from modelport.environment import BASE, FRAMEWORKS, ROOT, SetupError, ensure, say

NEEDS = ("test", "manifests", "client", "releases", "bench", *FRAMEWORKS)
TESTS = ROOT / "tests"
INTEGRATION = TESTS / "integration"
FOLDERS = {framework: TESTS / "export" / framework for framework in FRAMEWORKS}
PYTHONS = {None: BASE.python, **{framework: FRAMEWORKS[framework].python for framework in FRAMEWORKS}}
WITH_VALUE = ("-k", "-m", "-n", "-o", "-p", "-W", "--deselect", "--ignore")
# The files of the lane without a stack, in their order: those at the end are short. Slow tests want the machine.
SPREAD = [f"-n={min(max(len(os.sched_getaffinity(0)), 2), 4)}", "--dist=loadfile", "--no-loadscope-reorder"]
INTERRUPTED, NOTHING_COLLECTED = 2, 5
SLOWEST = 10
PACKAGES = re.compile(r"apt-get install (?P<packages>[\w -]+)$")


@dataclass(frozen=True)
class Session:
    """One run of pytest: what it tests, in which framework's environment, or the base's, and its arguments."""

    subject: str
    framework: str | None
    arguments: Sequence[str]


@dataclass(frozen=True)
class Result:
    """One test: its name, passed, failed or skipped, why it was skipped, and how long it took."""

    name: str
    outcome: str
    reason: str
    seconds: float


def main(arguments: Sequence[str]) -> int:
    """Run the sessions that the arguments ask for; returns the worst exit code."""
    signal.signal(signal.SIGINT, lambda *_: None)  # pytest gets it, too, and says what it had found until then
    try:
        ensure(*NEEDS)
    except SetupError as error:
        say(f"setup: {error}", error=True)
        return 1
    first, *others = lanes(arguments)
    run = partial(run_lane, stop=threading.Event(), stops_at_failure=bool({"-x", "--exitfirst"} & {*arguments}))
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as files:
        outputs = [files.enter_context(tempfile.TemporaryFile("w+")) for _ in others]
        running = [pool.submit(run, lane, output=output) for lane, output in zip(others, outputs, strict=True)]
        codes, results = run(first)
        for lane, future, output in zip(others, running, outputs, strict=True):
            if not future.done():
                say(f"\nwaiting for the tests of {', '.join(session.subject for session in lane)}")
            codes, results = [*codes, *future.result()[0]], [*results, *future.result()[1]]
            output.seek(0)
            say(output.read())
    say("\n".join(summary(results)))
    return worst(codes)


def lanes(arguments: Sequence[str]) -> list[list[Session]]:
    """What runs side by side: lanes of sessions that run one after another. The first one shows its progress."""
    chosen = sessions(with_marks(arguments))
    if selects(arguments):
        return [[Session(framework or "the base", framework, chosen[framework]) for framework in chosen]]
    slow, base = "--slow" in arguments, chosen[None]
    speed = "slow" if slow else "not slow"
    shared, alone = ["-m", f"{speed} and stack"], ["-m", f"{speed} and not stack"]
    own = [str(INTEGRATION) if argument == str(TESTS) else argument for argument in base]
    return [
        [Session("what needs no stack", None, [*base, *alone, f"--ignore={INTEGRATION}", *([] if slow else SPREAD)])],
        [Session("what shares a stack", None, [*base, *shared])],
        [
            *(Session(framework, framework, chosen[framework]) for framework in FRAMEWORKS),
            Session("what starts stacks of its own", None, [*own, *alone]),
        ],
    ]


def run_lane(
    lane: Sequence[Session], stop: threading.Event, stops_at_failure: bool, output: TextIO | None = None
) -> tuple[list[int], list[Result]]:
    """Run sessions one after another, until any lane was interrupted, or has failed where that stops all.

    Args:
        lane: the sessions.
        stop: set by the lane that ends the others.
        stops_at_failure: whether a failure does.
        output: where the sessions write; default: standard output.

    Returns:
        The sessions' exit codes, and the results of their tests.
    """
    codes: list[int] = []
    results: list[Result] = []
    for session in lane:
        if stop.is_set():
            break
        python, title = PYTHONS[session.framework], f"tests of {session.subject}"
        print(f"\n{title} ({python.relative_to(ROOT)})", file=output, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "results.xml"
            command = [str(python), "-P", "-m", "pytest", f"--junit-xml={report}", *session.arguments]
            code = subprocess.run(command, check=False, stdout=output, stderr=output and subprocess.STDOUT).returncode
            if report.is_file():
                results += read_results(report)
            else:  # killed, or it did not understand its arguments
                results.append(Result(f"{title}: ended by {code}", "failed", "", 0.0))
        codes.append(abs(code))
        if code == INTERRUPTED or (stops_at_failure and code not in (0, NOTHING_COLLECTED)):
            stop.set()
    return codes, results


def with_marks(arguments: Sequence[str]) -> list[str]:
    """The arguments with pytest's -m for slow tests or for those that are not, unless they select tests themselves."""
    if "--slow" in arguments:
        return ["-m", "slow", *(argument for argument in arguments if argument != "--slow")]
    return [*arguments] if selects(arguments) else ["-m", "not slow", *arguments]


def selects(arguments: Sequence[str]) -> bool:
    """Whether the arguments select tests themselves, by -k, -m or a path."""
    return any(argument.startswith(("-k", "-m")) or _path(argument).exists() for argument in arguments)


def sessions(arguments: Sequence[str]) -> Mapping[str | None, list[str]]:
    """pytest's arguments for each session that has tests under the paths among them; all sessions without a path.

    A folder around a framework's folder brings both the session of the framework and that of the rest.
    """
    options, paths = [], []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        named = not argument.startswith("-") and before not in WITH_VALUE and _path(argument).exists()
        (paths if named else options).append(argument)
    chosen: dict[str | None, list[str]] = {}
    for argument in paths or [str(TESTS)]:
        path = _path(argument)
        owner = next((framework for framework, folder in FOLDERS.items() if path.is_relative_to(folder)), None)
        chosen.setdefault(owner, [*options]).append(argument)
        for framework, folder in FOLDERS.items():
            if framework != owner and folder.is_relative_to(path):
                chosen.setdefault(framework, [*options]).append(str(folder))
    return chosen


def _path(argument: str) -> Path:
    return (ROOT / argument.partition("::")[0]).absolute()


def read_results(report: Path) -> list[Result]:
    """The tests of a report in JUnit's format; a test whose fixture fails when it is taken down has failed."""
    results = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (pytest has written it a moment ago)
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if failed else "skipped" if skipped is not None else "passed"
        reason = "" if skipped is None else skipped.get("message", "")
        seconds = float(case.get("time", "0"))
        if name not in results or failed:
            results[name] = Result(name, outcome, reason, seconds)
    return list(results.values())


def worst(codes: Iterable[int]) -> int:
    """The worst exit code; that a session found nothing counts where no session found anything."""
    codes = list(codes)
    return max((code for code in codes if code != NOTHING_COLLECTED), default=NOTHING_COLLECTED)


def summary(results: Sequence[Result]) -> list[str]:
    """The slowest tests, a line about what was skipped, and the totals in the last line."""
    slowest = sorted(results, key=lambda result: result.seconds, reverse=True)[:SLOWEST]
    lines = ["", f"the {len(slowest)} slowest tests:"]
    lines += [f"  {result.seconds:6.1f} s  {result.name}" for result in slowest]
    skipped = [result.reason for result in results if result.outcome == "skipped"]
    if skipped:
        lines += ["", skip_line(skipped)]
    totals = Counter(result.outcome for result in results)
    return [*lines, ", ".join(f"{totals[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))]


def skip_line(reasons: Sequence[str]) -> str:
    """What was skipped, why, and what brings it. A reason that ends in an apt-get command names the packages."""
    packages = [match["packages"].split() for match in map(PACKAGES.search, reasons) if match]
    parts = []
    if packages:
        names = sorted({name for group in packages for name in group})
        parts.append(f"{len(packages)} tests want {', '.join(names)} (sudo apt-get install {' '.join(names)})")
    others = Counter(reason for reason in reasons if not PACKAGES.search(reason))
    parts += [f"{count}: {reason}" for reason, count in others.most_common()]
    return f"skipped: {'; '.join(parts)}"


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
