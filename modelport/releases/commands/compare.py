"""`modelport compare`: compare two releases of a service, and judge whether the new one may replace the old one."""

import argparse
from pathlib import Path

from modelport import services
from modelport.environment import ROOT
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.comparison import measuring, report
from modelport.releases.comparison.samples import find_samples
from modelport.releases.comparison.side import side
from modelport.releases.comparison.verdict import RULES, findings, verdict
from modelport.releases.verification import verified_repository
from modelport.stack.stack import StackSettings, export_missing


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "compare", run)
    parser.add_argument("service", metavar="SERVICE", choices=tuple(services.load()))
    parser.add_argument(
        "old", metavar="OLD", help=f"name of a release, a unique part of it, or {FIRST_RELEASE}: model_repository/"
    )
    parser.add_argument("new", metavar="NEW", help="likewise")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of images, for the task anomaly of JSON files with windows "
        "(default: the sample photos and golden samples)",
    )
    add_releases(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the report (default: build/compare/SERVICE/OLD..NEW)"
    )


def run(options: argparse.Namespace) -> int:
    """Serve two releases side by side, send both the same samples, and judge whether NEW may replace OLD.

    Compares answers, scores, latency and memory, by 95 % confidence intervals.

    Exit codes:
      0  interchangeable
      1  the comparison could not be carried out
      2  wrong arguments
      3  different
      4  undecided: too few samples

    make turns each but 0 into its own 2: scripts call `modelport compare`.
    """
    service = services.load()[options.service]
    if FIRST_RELEASE in (options.old, options.new):
        export_missing(StackSettings((service,)))
    old_name, old_folder = verified_repository(service.name, options.old, options.releases)
    new_name, new_folder = verified_repository(service.name, options.new, options.releases)
    samples = find_samples(service, options.data, [old_folder, new_folder])
    out = options.out or ROOT / "build" / "compare" / service.name / f"{old_name}..{new_name}"
    print(f"starting Triton and a transformer for each of {old_name} and {new_name} (logs: {out}/logs)", flush=True)
    with (
        side(f"the old release, {old_name}", service, old_folder, out / "logs" / "old") as old,
        side(f"the new release, {new_name}", service, new_folder, out / "logs" / "new") as new,
    ):
        print(f"sending {len(samples)} samples to both, in turn", flush=True)
        observations = measuring.run(old, new, samples)
    measures = measuring.measures(observations)
    found = findings(measures, RULES)
    comparison = report.Comparison(service.name, old_name, new_name, observations, measures, found, verdict(found))
    path = report.write(comparison, out)
    print(*report.lines(comparison), f"report: {path}", sep="\n")
    return comparison.verdict.exit_code
