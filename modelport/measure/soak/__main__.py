"""`modelport soak`: mixed traffic with faults, updates and hostile files; what must not grow is measured."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.table import table as draw_table
from modelport.arguments import errors_in_one_line, positive
from modelport.environment import ROOT
from modelport.measure.soak.slopes import Slope
from modelport.measure.soak.soak import MODEL, UPDATED, Soak
from modelport.measure.torture.outcome import Outcome, tally
from modelport.measure.torture.served import SERVICES, Served, copy_repository
from modelport.releases.assembly import copy_models

FOLDER = ROOT / "build" / "soak"


def report(outcome: Outcome, slopes: Sequence[Slope]) -> str:
    """What a person reads."""
    head = ("series", "level", "per hour", "95 % interval", "")
    rows = [
        (s.name, f"{s.level:.0f}", f"{s.per_hour:+.1f}", f"{s.low:+.1f} to {s.high:+.1f}", "" if s.flat else "GROWS")
        for s in slopes
    ]
    seen = f"{outcome.sent} requests, {outcome.answered} answered, {outcome.lost} lost: {tally(outcome.seen)}"
    return "\n".join([draw_table([head, *rows]), "", seen, outcome.note, *(f"BROKEN: {one}" for one in outcome.broken)])


def document(outcome: Outcome, slopes: Sequence[Slope], soak: Soak) -> Mapping[str, object]:
    """The content of results.json: the outcome, the slopes, and what they were computed from."""
    lines = [dataclasses.asdict(one) for one in slopes]
    measured = {"at_s": soak.at_s, "series": soak.series}
    return {**dataclasses.asdict(outcome), "seen": dict(outcome.seen), "slopes": lines, **measured}


@errors_in_one_line()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 1 where something grew, a request was lost, or the stack did not start."""
    parser = argparse.ArgumentParser(prog="modelport soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=positive, default=60.0, help="how long (default: %(default)g)")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="of results.json and the logs (default: build/soak)"
    )
    options = parser.parse_args(arguments)
    temporary, release = options.folder / "tmp", options.folder / "release"
    temporary.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(temporary)
    services = (*SERVICES, UPDATED)
    repository = copy_repository(options.folder, services)
    if not release.exists():
        copy_models(repository, (MODEL,), release)
    with Served(options.folder / "stack.log", repository, services) as served:
        served.wait_until_ready()
        soak = Soak(served, release.resolve(), temporary)
        soak.run(options.minutes)
        outcome, slopes = soak.outcome()
    options.folder.joinpath("results.json").write_text(json.dumps(document(outcome, slopes, soak)))
    print(report(outcome, slopes))
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
