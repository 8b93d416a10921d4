"""`modelport replay`: send a release the requests of a record, and judge its answers by the recorded ones."""

from __future__ import annotations

import argparse
import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from exporters import statistics
from kserve_transformers.judging.answers import Answer, difference, recorded_answer
from kserve_transformers.record.reading import Reader, Recorded
from modelport import services
from modelport.arguments import positive_int
from modelport.environment import ROOT
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.comparison import report
from modelport.releases.comparison.caller import RefusedError
from modelport.releases.comparison.measuring import Compared, Observations, answer_measures
from modelport.releases.comparison.samples import Sample
from modelport.releases.comparison.side import Side, side
from modelport.releases.comparison.verdict import RULES, findings, verdict
from modelport.releases.errors import ComparisonError
from modelport.releases.verification import verified_repository
from modelport.stack.stack import StackSettings, export_missing

LIMIT = 1000


@dataclass(frozen=True)
class Asked:
    """An instance of a recorded request, and its answer.

    `parameters` are options that the request named, `seconds` what it took then.
    """

    sample: Sample
    parameters: dict[str, Any]
    answer: Answer
    seconds: float


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "replay", run)
    parser.add_argument(
        "release", metavar="RELEASE", help=f"its name, a unique part of it, or {FIRST_RELEASE}: model_repository/"
    )
    parser.add_argument(
        "--from", dest="record", required=True, metavar="DIR", help="folder or URL that `serve --record` wrote to"
    )
    parser.add_argument(
        "--service", choices=tuple(services.load()), help="whose requests (default: the only one in the record)"
    )
    parser.add_argument(
        "--limit", type=positive_int, default=LIMIT, help="instances that are sent, at most (default: %(default)s)"
    )
    add_releases(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the report (default: build/replay/SERVICE/RELEASE)"
    )


def run(options: argparse.Namespace) -> int:
    """Serve a release, send it recorded requests, and judge whether it answers as was recorded.

    Only requests whose images are in the record (`serve --record_images SERVICE`) can be sent. Compares
    answers and scores, by the rules and 95 % confidence intervals of `modelport compare`; latencies are
    shown, but not judged: those of the record were measured under the load of that time.

    Exit codes:
      0  interchangeable
      1  the replay could not be carried out
      2  wrong arguments
      3  different
      4  undecided: too few requests
    """
    service = services.load()[options.service or _only_service(options.record)]
    if options.release == FIRST_RELEASE:
        export_missing(StackSettings((service,)))
    name, folder = verified_repository(service.name, options.release, options.releases)
    reader, seen = Reader(options.record, service.name), Counter[str]()
    asked = heapq.nsmallest(options.limit, _instances(reader, seen), key=_order)
    releases = sorted(key.removeprefix("by ") for key in seen if key.startswith("by "))
    print(_told(options.record, seen, reader, len(asked)), flush=True)
    if not asked:
        raise ComparisonError(
            f"{options.record} has no request of {service.name} with its images: "
            f"record them with `modelport serve --record DIR --record_images {service.name}`"
        )
    out = options.out or ROOT / "build" / "replay" / service.name / name
    print(f"starting Triton and a transformer for {name} (logs: {out}/logs)", flush=True)
    with side(f"the release, {name}", service, folder, out / "logs") as new:
        observations = _send(new, asked)
    if not observations.compared:
        raise ComparisonError(f"{name} accepts none of them: {next(iter(observations.refused.values()))}")
    measures = answer_measures(observations.compared)
    measures["recorded latency, ms"] = statistics.median(observations.old_ms)
    measures["latency now, ms"] = statistics.median(observations.new_ms)
    found = findings(measures, RULES)
    judged = verdict(found, "recorded requests")
    old = f"recorded of {', '.join(releases)}"
    comparison = report.Comparison(service.name, old, name, observations, measures, found, judged)
    path = report.write(comparison, out)
    print(*report.lines(comparison), f"report: {path}", sep="\n")
    return judged.exit_code


def _only_service(place: str) -> str:
    known = [name for name in Reader(place).services() if name in services.load()]
    if len(known) != 1:
        raise ComparisonError(f"{place} has requests of {', '.join(known) or 'no service'}: choose with --service NAME")
    return known[0]


def _instances(reader: Reader, seen: Counter[str]) -> Iterator[Asked]:
    """The instances that can be sent, and in `seen` what became of the others."""
    for recorded in reader:
        contents = recorded.samples()
        if not recorded.predictions:
            seen["refused"] += 1
        elif contents is None:
            seen["without"] += 1
        else:
            seen["with"] += 1
            seen[f"by {recorded.release}"] += 1
            yield from _each(recorded, contents)


def _each(recorded: Recorded, contents: Sequence[Any]) -> Iterator[Asked]:
    for number, (content, prediction) in enumerate(zip(contents, recorded.predictions, strict=True)):
        sample = Sample(recorded.request_id + (f"#{number}" if len(contents) > 1 else ""), content)
        try:
            answer = recorded_answer(prediction)
        except ValueError as exc:
            raise ComparisonError(f"answers of {recorded.service} cannot be compared: {exc}") from exc
        yield Asked(sample, dict(recorded.parameters), answer, recorded.seconds)


def _order(asked: Asked) -> bytes:
    """By the hash of the request's id: of many, the same ones each time."""
    return hashlib.sha256(asked.sample.name.encode()).digest()


def _send(new: Side, asked: list[Asked]) -> Observations:
    observations = Observations(models={"new": new.models()})
    for one in tqdm(asked, unit="request", disable=None):
        try:
            answer, seconds = new.predict(one.sample, one.parameters)
        except RefusedError as exc:
            observations.refused[one.sample.name] = str(exc)
            continue
        observations.compared.append(Compared(one.sample, one.answer, answer, difference(one.answer, answer)))
        observations.old_ms.append(one.seconds * 1000)
        observations.new_ms.append(seconds * 1000)
    return observations


def _told(place: str, seen: Counter[str], reader: Reader, count: int) -> str:
    lost = f", {reader.torn} torn lines" * bool(reader.torn) + f", {reader.alone} events alone" * bool(reader.alone)
    return (
        f"{place}: {seen['with']} requests with images ({count} images are sent), {seen['without']} without, "
        f"{seen['refused']} without an answer{lost}"
    )
