"""`modelport torture`: injects faults into a stack of its own under load and prints what callers saw of each."""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modelport.arguments import errors_in_one_line
from modelport.environment import ROOT
from modelport.measure.torture.faults import ALONE, SAVED_MODELS, SERVED, SERVED_SAVED_MODELS, SHORT, Fault
from modelport.measure.torture.outcome import Outcome, document, table
from modelport.measure.torture.served import RECOVER_S, SERVICES, Served, TortureError, copy_repository, wait_for

FOLDER = ROOT / "build" / "torture"
ALL = [*SERVED, *SERVED_SAVED_MODELS, *ALONE]


@errors_in_one_line()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 1 where a promise did not hold, or the stack could not be started.
    """
    parser = argparse.ArgumentParser(prog="modelport torture", description=__doc__, allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}")
    parser.add_argument("--only", action="append", choices=ALL, help="inject only this fault; can be repeated")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="of results.json and the logs (default: build/torture)"
    )
    options = parser.parse_args(arguments)
    names = options.only or (SHORT if options.short else ALL)
    began = time.monotonic()
    outcomes = run(names, options.folder)
    options.folder.joinpath("results.json").write_text(json.dumps(document(outcomes), indent=1))
    print("", table(outcomes), "", sep="\n")
    broken = sum(bool(outcome.broken) for outcome in outcomes)
    print(f"{len(outcomes)} faults in {time.monotonic() - began:.0f} s, {broken} of them broke a promise")
    return 1 if broken else 0


def run(names: Sequence[str], folder: Path) -> list[Outcome]:
    """Inject faults by name: first those that share one stack, then those that need a stack of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for services, faults in ((SERVICES, SERVED), (SAVED_MODELS, SERVED_SAVED_MODELS)):
        shared = {name: faults[name] for name in names if name in faults}
        if shared:
            outcomes += _run_shared(services, shared, folder)
    for name in names:
        if name in ALONE:
            print(f"{name} ...", flush=True)
            outcomes.append(_print(dataclasses.replace(ALONE[name](folder), fault=name)))
    return outcomes


def _run_shared(services: Sequence[str], faults: Mapping[str, Fault], folder: Path) -> Iterator[Outcome]:
    with Served(folder / "stack.log", copy_repository(folder, services), services) as served:
        served.wait_until_ready()
        for name, fault in faults.items():
            if wait_for(served.all_ready, RECOVER_S) is None:
                raise TortureError(f"not all models were ready before {name}: see {served.log_file}")
            print(f"{name} ...", flush=True)
            served.memory.reset()
            yield _print(served.memory.add_to(dataclasses.replace(fault(served), fault=name)))


def _print(outcome: Outcome) -> Outcome:
    print(table([outcome]).splitlines()[-1], flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
