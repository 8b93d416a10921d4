"""`make torture`: breaks a stack of its own in every way we know, under load, and prints what callers saw."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from torture.faults import ALONE, SERVED, SHORT
from torture.outcome import Outcome, document, table
from torture.served import Served, TortureError, copy_repository, wait_for
from torture.traffic import ROOT

FOLDER = ROOT / "build" / "torture"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults; returns 1 where a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__, allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}")
    parser.add_argument("--only", action="append", choices=[*SERVED, *ALONE], help="this fault; may be given again")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="results.json and logs")
    options = parser.parse_args(arguments)
    names = options.only or (SHORT if options.short else [*SERVED, *ALONE])
    began = time.monotonic()
    try:
        outcomes = run(names, options.folder)
    except TortureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    options.folder.joinpath("results.json").write_text(json.dumps(document(outcomes), indent=1))
    print("", table(outcomes), "", sep="\n")
    broken = sum(bool(outcome.broken) for outcome in outcomes)
    print(f"{len(outcomes)} faults in {time.monotonic() - began:.0f} s, promises broken by {broken}")
    return 1 if broken else 0


def run(names: Sequence[str], folder: Path) -> list[Outcome]:
    """The faults of these names, those that one stack survives first."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    shared = [name for name in names if name in SERVED]
    if shared:
        with Served(folder / "stack.log", copy_repository(folder)) as served:
            served.wait_until_ready()
            for name in shared:
                if wait_for(served.well, 60) is None:
                    raise TortureError(f"the stack was not well before {name}: see {served.log_file}")
                print(f"{name} ...", flush=True)
                served.memory.begin_anew()
                outcome = SERVED[name](served)
                outcomes.append(served.memory.put_into(dataclasses.replace(outcome, fault=name)))
                print(table(outcomes[-1:]).splitlines()[-1], flush=True)
    for name in names:
        if name in ALONE:
            print(f"{name} ...", flush=True)
            outcomes.append(dataclasses.replace(ALONE[name](folder), fault=name))
            print(table(outcomes[-1:]).splitlines()[-1], flush=True)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
