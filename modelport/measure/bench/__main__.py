"""`modelport bench`: ours, the raw models, the legacy servers and plain KServe, in turn on the same cores.

Servers run one at a time. A process of its own sends the load. Each figure comes with the processor time that this
process took and that others took meanwhile, so that a run on a busy machine can be recognised. Ctrl-C ends the run
early, with a report.
"""

import argparse
import dataclasses
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modelport.arguments import counts, errors_in_one_line, names, positive, positive_int
from modelport.environment import ROOT, SetupError
from modelport.measure.bench import machine, memory, photos, plots
from modelport.measure.bench.cases import CASES, DEFAULT, GRPC
from modelport.measure.bench.figures import Point, percentile, rows
from modelport.measure.bench.measuring import BenchError
from modelport.measure.bench.reach import verdicts
from modelport.measure.bench.report import History, change_table, figures_table, line, reach_table, results
from modelport.measure.bench.speed import SYSTEMS, Plan, run

PARTS = ("speed", "photos", "memory")
QUIET = 0.1  # the share of all cores that others may use
STEADY = 1.15  # by how much the time of the same arithmetic may vary
PROTOCOLS = ("raw body", "V1", "V2", GRPC, "own")


@errors_in_one_line(interrupted="ended early")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    print(f"{facts['cores']} cores, {facts['cpu']}; load before: {facts['load_before']}; commit {facts['commit']}")
    began = time.monotonic()
    code = _speed(options, folder, facts) if "speed" in options.only else 0
    if not code and "photos" in options.only:
        found = photos.compare(options.rounds, options.seconds)
        (folder / "photos.json").write_text(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
        print("", *(one.line() for one in found), sep="\n", flush=True)
    if not code and "memory" in options.only:
        print()
        with (folder / "memory.txt").open("w") as file:
            for text in memory.measure():
                print(text, flush=True)
                print(text, file=file, flush=True)
    print(f"\n{time.monotonic() - began:.0f} s; {folder}")
    return code


def _speed(options: argparse.Namespace, folder: Path, facts: dict[str, object]) -> int:
    """Measure throughput and latency, and report what could be measured; returns the exit code."""
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
        print("ended early: the results so far", flush=True)
    except (BenchError, SetupError) as error:
        code = 1
        print(f"error: {error}; the results before it are kept", flush=True)
    measured = rows(points)
    judged = verdicts(measured)
    print("", figures_table(measured), "", reach_table(judged), sep="\n", flush=True)
    others = statistics.median(point.other_cpu for point in points) if points else 0.0
    if others > QUIET:
        print(f"\nothers used {others:.0%} of the cores: rely on the processor times only")
    slow, fast = (percentile([point.pace_ms for point in points], share) for share in (0.95, 0.05))
    if slow > STEADY * fast:
        print(f"\nthe machine's speed changed (a probe took {fast:.1f} to {slow:.1f} ms): compare within a round")
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
        print(f"\n{folder} has no run of {options.against}")
    history.add(entry)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelport bench", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--only", type=_of(PARTS), default=PARTS, help=f"of {','.join(PARTS)} (default: all)")
    add("--services", type=_of(tuple(CASES)), default=DEFAULT, help=f"of {','.join(CASES)}")
    add("--systems", type=_of(SYSTEMS), default=SYSTEMS, help=f"of {','.join(SYSTEMS)} (default: all)")
    add("--protocols", type=_of(PROTOCOLS), default=(), help=f"of {','.join(PROTOCOLS)}, each at every concurrency")
    add("--concurrency", type=counts, default=(1, 2, 4, 8, 16, 32), help="(default: 1,2,4,8,16,32)")
    add("--rounds", type=positive_int, default=3, help="the result is their median (default: %(default)s)")
    add("--seconds", type=positive, default=2.0, help="per measurement and round, at least (default: %(default)s)")
    add("--against", metavar="COMMIT|last", help="print the change since an earlier run")
    add("--out", type=Path, default=ROOT / "build" / "bench", help="folder (default: build/bench)")
    return parser


def _of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        chosen = names(text)
        unknown = [name for name in chosen if name not in known] or ([] if chosen else [text])
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r}: choose from {', '.join(known)}")
        return chosen

    return parse


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
