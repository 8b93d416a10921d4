"""`make bench`: ours, the raw models, the seeds' servers and KServe's plain way, in turn on the same cores.

Servers run one at a time. Load comes from a process of its own; what it takes of a core is told, and so is what others
took of this machine while a figure was measured: a run on a busy machine shows it. Ctrl-C ends it early, with a report.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modelport.environment import ROOT, SetupError
from modelport.measure.bench import machine, memory, photos, plots
from modelport.measure.bench.cases import CASES, DEFAULT, GRPC
from modelport.measure.bench.figures import Point, percentile, rows
from modelport.measure.bench.measuring import BenchError
from modelport.measure.bench.reach import verdicts
from modelport.measure.bench.report import History, change_table, figures_table, line, reach_table, results
from modelport.measure.bench.speed import SYSTEMS, Plan, run

PARTS = ("speed", "photos", "memory")
QUIET = 0.1  # the share of all cores that others may take
STEADY = 1.15  # how much slower the same arithmetic may be at one time than at another
PROTOCOLS = ("raw body", "V1", "V2", GRPC, "own")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code."""
    options = _parser().parse_args(arguments)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    print(f"{facts['cores']} cores, {facts['cpu']}; load before: {facts['load_before']}; commit {facts['commit']}")
    began = time.monotonic()
    try:
        code = _speed(options, folder, facts) if "speed" in options.only else 0
        if not code and "photos" in options.only:
            found = photos.compare(options.rounds, options.seconds)
            (folder / "photos.json").write_text(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
            print("", *(one.line() for one in found), sep="\n", flush=True)
        if not code and "memory" in options.only:
            print()
            with (folder / "memory.txt").open("w") as file:
                for text in memory.measure(options.soak):
                    print(text, flush=True)
                    print(text, file=file, flush=True)
    except (BenchError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ended early", file=sys.stderr)
        return 130
    print(f"\n{time.monotonic() - began:.0f} s; {folder}")
    return code


def _speed(options: argparse.Namespace, folder: Path, facts: dict[str, object]) -> int:
    """Measure and report what could be measured; returns the exit code."""
    plan = Plan(
        options.services, options.systems, options.protocols, options.concurrency, options.rounds, options.seconds
    )
    points: list[Point] = []
    code = 0
    try:
        for point in run(plan):
            print(line(point), flush=True)
            points.append(point)
    except KeyboardInterrupt:
        code = 130
        print("ended early: this is what was measured", flush=True)
    except (BenchError, SetupError) as error:
        code = 1
        print(f"error: {error}; this is what was measured before", flush=True)
    measured = rows(points)
    judged = verdicts(measured)
    print("", figures_table(measured), "", reach_table(judged), sep="\n", flush=True)
    others = statistics.median(point.other_cpu for point in points) if points else 0.0
    if others > QUIET:
        print(f"\nnot a quiet machine: others took {others:.0%} of the cores; trust the processor time, not the rest")
    slow, fast = (percentile([point.pace_ms for point in points], share) for share in (0.95, 0.05))
    if slow > STEADY * fast:
        print(f"\nnot a steady machine: the same arithmetic took {fast:.1f} to {slow:.1f} ms; compare within a round")
    (folder / "results.json").write_text(results(facts, points, measured, judged))
    if any(row.system == "ours" for row in measured):
        plots.curves(measured, folder / "curves.png")
        plots.bars(measured, folder / "bars.png")
        plots.waterfall(measured, folder / "waterfall.png")
    history = History(folder / "history.jsonl")
    named = options.against not in (None, "last")
    before = history.find(machine.full_commit(options.against) if named else None)
    entry = history.entry(time.strftime("%Y-%m-%dT%H:%M:%S"), str(facts["commit"]), measured)
    if options.against and before:
        print("", f"against {before['commit']} of {before['at']}", change_table(before, entry), sep="\n")
    elif options.against:
        print(f"\nno run of {options.against} is known in {folder}")
    history.add(entry)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelport.measure.bench", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--only", type=_of(PARTS), default=PARTS, help=f"of {','.join(PARTS)} (default: all)")
    add("--services", type=_of(tuple(CASES)), default=DEFAULT, help=f"of {','.join(CASES)}")
    add("--systems", type=_of(SYSTEMS), default=SYSTEMS, help=f"of {','.join(SYSTEMS)} (default: all)")
    add("--protocols", type=_of(PROTOCOLS), default=(), help=f"of {','.join(PROTOCOLS)}, each at every concurrency")
    add("--concurrency", type=_numbers, default=(1, 2, 4, 8, 16, 32), help="(default: 1,2,4,8,16,32)")
    add("--rounds", type=int, default=3, help="of which the medians are taken (default: %(default)s)")
    add("--seconds", type=float, default=2.0, help="for each figure and round, at least (default: %(default)s)")
    add("--soak", type=int, default=0, metavar="N", help="so many mixed requests: does the transformer grow?")
    add("--against", metavar="COMMIT|last", help="print the change since an earlier run")
    add("--out", type=Path, default=ROOT / "build" / "bench", help="folder (default: build/bench)")
    return parser


def _of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}: choose of {', '.join(known)}")
        return names

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
