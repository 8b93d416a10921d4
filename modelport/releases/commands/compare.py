"""Serve two releases side by side, ask both about the same samples, and judge: answers, scores, latency, memory.

Exit code: 0 interchangeable, 3 different, 4 undecided (too few samples), 1 where it could not be done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from kserve_transformers.settings import SERVICES
from modelport.environment import ROOT
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.comparison import measuring, report
from modelport.releases.comparison.samples import Sample, find_samples
from modelport.releases.comparison.side import side
from modelport.releases.comparison.verdict import RULES, findings, verdict
from modelport.releases.folders import checked_folder
from modelport.releases.release import RELEASES
from modelport.stack.stack import StackSettings, export_missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("old", help=f"a release; {FIRST_RELEASE}: model_repository/ as it stands")
    parser.add_argument("new", help="likewise")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="of pictures (anomaly: JSON files with windows); default: the sample photos and golden samples",
    )
    parser.add_argument("--releases", type=Path, default=RELEASES, metavar="DIR", help="build/releases by default")
    parser.add_argument("--out", type=Path, metavar="DIR", help="build/compare/SERVICE/OLD..NEW by default")


def run(options: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    service, names = options.service, (options.old, options.new)
    if FIRST_RELEASE in names:
        export_missing(StackSettings((service,)))
    folders = [checked_folder(service, name, options.releases) for name in names]
    samples = find_samples(service, options.data, folders)
    out = options.out or ROOT / "build" / "compare" / service / "..".join(names)
    print(
        f"starting {' and '.join(names)}, each with a Triton and a transformer of its own (logs: {out}/logs)",
        flush=True,
    )
    with (
        side(f"the old one, {names[0]}", service, folders[0], out / "logs" / "old") as old,
        side(f"the new one, {names[1]}", service, folders[1], out / "logs" / "new") as new,
    ):
        print(f"asking both about {len(samples)} samples, in turn", flush=True)
        course = measuring.run(old, new, samples, _progress)
    measures = measuring.measures(service, course)
    found = findings(measures, RULES)
    comparison = report.Comparison(service, *names, course, measures, found, verdict(found))
    path = report.write(comparison, out)
    print(*report.lines(comparison), f"report: {path}", sep="\n")
    return comparison.verdict.exit_code


def _progress(samples: Iterable[Sample], total: int) -> Iterable[Sample]:
    shown: Iterable[Sample] = tqdm(samples, total=total, unit="pair", disable=not sys.stderr.isatty())
    return shown
