"""`modelport shadow`: copy a share of a service's requests to a release, and judge its answers; no caller gets them."""

import argparse
import contextlib
import json
import math
import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import httpx

from exporters.files import replace_file
from exporters.table import table
from kserve_transformers.record.reading import Reader
from modelport.environment import ROOT
from modelport.releases import log, rollout
from modelport.releases.commands import Subparsers, add_command
from modelport.releases.commands.canary import add_acceptance, add_folders, change, folders, percent
from modelport.releases.comparison import report
from modelport.releases.comparison.verdict import OPEN, Verdict, findings, verdict
from modelport.releases.errors import ComparisonError, RolloutError
from modelport.releases.judging import pairs
from modelport.releases.judging.pairs import SHADOW_RULES, Account
from modelport.releases.judging.sight import overlay_stack, run_of
from modelport.releases.rollout import Folders
from modelport.stack.envoy.counters import Counters, read_counters
from modelport.stack.overlay import RECORD
from modelport.stack.running import Running

_SETTLE_S = 3.0  # until the recorders have written what ended before
_NOTHING = Verdict("undecided: the shadow has had no request that could be compared", OPEN)


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "shadow", run)
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("release", metavar="RELEASE", nargs="?", help="starts: its name, or a unique part of it")
    parser.add_argument(
        "--percent", type=percent, metavar="N", help="share of the requests that are copied, 1 to 100 (default: 20)"
    )
    parser.add_argument("--end", action="store_true", help="copy no requests any more")
    parser.add_argument(
        "--record",
        default=str(RECORD),
        metavar="DIR",
        help="folder or URL of both sides' record (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default: build/shadow/SERVICE)")
    parser.add_argument("--why", default="", help="the reason, for the log")
    add_acceptance(parser)
    add_folders(parser)


def run(options: argparse.Namespace) -> int:
    """Copy a share of a service's requests to another release; without a release, judge its answers so far.

    With a release, or --end, the release file is edited, the difference printed and the change logged. Otherwise
    the answers of both sides are paired by the ids of their requests, every copy is accounted for, and the verdict,
    a report (report.md, results.json) and metrics (shadow.prom, for a Prometheus textfile collector) are written.

    Exit codes:
      0  started or ended; of a judgement: interchangeable
      1  the command could not be carried out
      2  wrong arguments
      3  different
      4  undecided: too few requests
    """
    if options.end and (options.release or options.percent):
        raise RolloutError("--end takes no release and no share")
    if options.percent and not options.release:
        raise RolloutError("name the release that is to get copies: modelport shadow SERVICE RELEASE --percent 20")
    place, service = folders(options), options.service
    rollout.choices(place, service)
    if options.end:
        return change("shadow", options, rollout.end_shadow, "shadow")
    if not options.release:
        return judge(options, place, service)
    release = rollout.resolve(place, service, options.release, options.unchecked, options.untrained)
    _remember(_baseline(place, service), overlay_stack(options.port), service)
    return change("shadow", options, rollout.shadow(release, options.percent or 20), "shadow")


def judge(options: argparse.Namespace, place: Folders, service: str) -> int:
    """Pair the record of a service and of its shadow, print and write the verdict; returns the exit code.

    Raises:
        ComparisonError: there is, and was, no shadow, or the record cannot be read.
    """
    started = log.latest_shadow(log.read(place.log), service)
    if started is None:
        raise ComparisonError(
            f"{service} has had no shadow: `modelport shadow {service} RELEASE` starts one beside "
            "`modelport serve --overlay shadow`"
        )
    release, percent = started.after.shadow, started.after.shadow_percent
    since, stack = datetime.fromisoformat(started.when).timestamp(), overlay_stack(options.port)
    envoy = None
    if stack is not None:
        counted_since, envoy = _copies(stack, service, _baseline(place, service))
    until = math.inf
    if envoy is not None:  # the record is read for the time in which the copies were counted
        since, until = counted_since, time.time()
        time.sleep(_SETTLE_S)
    reader = Reader(options.record, service)
    try:
        found = pairs.account(reader, release, since, until)
    except FileNotFoundError as error:
        raise ComparisonError(f"{error}; both sides record with `modelport serve --record DIR`") from error
    pairs.count_lost(found, envoy, percent)
    observations = pairs.observations(found)
    measures = pairs.measures(found, observations)
    judged = findings(measures, SHADOW_RULES)
    decided = verdict(judged, "requests") if judged else _NOTHING
    accounts = [table(found.rows())]
    if reader.torn or reader.alone:
        accounts.append(f"of the record: {reader.torn} torn lines, {reader.alone} events alone")
    comparison = report.Comparison(
        service, started.before.stable, f"{release} (shadow)", observations, measures, judged, decided, tuple(accounts)
    )
    out = options.out or ROOT / "build" / "shadow" / service
    path = report.write(comparison, out)
    replace_file(out / "shadow.prom", _metrics(service, release, found, comparison).encode())
    print(*report.lines(comparison), f"report: {path}", sep="\n")
    return decided.exit_code


def _baseline(place: Folders, service: str) -> Path:
    return place.releases.parent / "shadow" / f"{service}.json"


def _remember(file: Path, stack: Running | None, service: str) -> None:
    """Keep what Envoy has counted for former shadows."""
    since, counted = time.time(), _counted(stack, service)  # in this order: no copy is counted that is too old to pair
    file.parent.mkdir(parents=True, exist_ok=True)
    stated = {
        "run": run_of(stack) if stack else "",
        "since": since,
        "counters": asdict(counted or Counters()) | {"within": {}},
    }
    replace_file(file, json.dumps(stated).encode())


def _copies(stack: Running, service: str, file: Path) -> tuple[float, Counters | None]:
    """Since when Envoy has counted the present shadow's copies, and what; None where it does not tell."""
    began, before, counted = stack.started, Counters(), _counted(stack, service)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # no file, or not of this version
        stated = json.loads(file.read_text())
        if stated["run"] == run_of(stack):
            began, before = float(stated["since"]), Counters(**stated["counters"])
    return began, replace(counted - before, active=counted.active) if counted else None


def _counted(stack: Running | None, service: str) -> Counters | None:
    if stack is None:
        return None
    try:
        found = read_counters(stack.port + 1)
    except httpx.HTTPError:
        return None
    return next((one for name, one in found.items() if name.endswith(f"/{service}-shadow")), None)


def _metrics(service: str, release: str, found: Account, comparison: report.Comparison) -> str:
    """Prometheus' text format."""
    labels = f'service="{service}",release="{release}"'
    lines = ["# TYPE modelport_shadow_requests gauge"]
    lines += [
        f'modelport_shadow_requests{{{labels},outcome="{name}"}} {count.replace(",", "")}'
        for name, count in found.rows()
        if name != "copies"
    ]
    for name, estimate in comparison.measures.items():
        metric = "modelport_shadow_" + "".join(c if c.isalnum() else "_" for c in name.replace(",", "")).lower()
        lines.append(f"# TYPE {metric} gauge")
        for bound in ("value", "low", "high"):
            number = getattr(estimate, bound)
            if math.isfinite(number):
                lines.append(f'{metric}{{{labels},bound="{bound}"}} {number}')
    lines += ["# TYPE modelport_shadow_verdict gauge", f"modelport_shadow_verdict{{{labels}}} "]
    lines[-1] += str(comparison.verdict.exit_code)
    return "\n".join(lines) + "\n"
