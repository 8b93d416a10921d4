"""`modelport evaluate`: evaluate a service on labelled data; and the options that `modelport release` shares."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exporters.repository import REPOSITORY
from modelport import services
from modelport.arguments import server_url
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.classification import ACCURACY
from modelport.releases.evaluation.data import DataOptions
from modelport.releases.evaluation.demands import Demands, judge, verdict
from modelport.releases.evaluation.detection import MAP, MAP_50
from modelport.releases.evaluation.evaluating import evaluate_release, evaluate_url, place_of
from modelport.releases.gate.evaluation import baseline
from modelport.releases.verification import verified_repository
from modelport.stack.stack import StackSettings, export_missing

NOT_MET = 3  # exit code
_RUNNING = "running"  # folder of the reports of servers that ran before


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "evaluate", run)
    parser.add_argument("service", metavar="SERVICE", choices=tuple(services.load()))
    add_data(parser, required=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--release", metavar="NAME", help=f"name of a release, or a unique part of it (default: {FIRST_RELEASE})"
    )
    which.add_argument(
        "--url", type=server_url, help="a server that runs, such as http://127.0.0.1:8080 (default: start one)"
    )
    parser.add_argument("--repository", type=Path, metavar="DIR", help="model repository (default: model_repository)")
    add_demands(parser)
    add_releases(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the report (default: build/evaluate/SERVICE/RELEASE)"
    )


def add_data(parser: argparse.ArgumentParser, required: bool) -> None:
    """Declare the options that name labelled data."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        required=required,
        help="class folders of images, a CSV file with the columns file and label, or MNIST's IDX files; for detectors "
        "COCO JSON; for the task anomaly a CSV file with a label and a window a line",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="images of the CSV or JSON file (default: its folder)"
    )
    parser.add_argument(
        "--rename",
        type=_pair,
        action="append",
        default=[],
        metavar="CLASS=LABEL",
        help="the label that a class of the data means; may be repeated",
    )
    parser.add_argument(
        "--count-unknown",
        action="store_true",
        help="count classes that no model answers as answered wrongly, instead of refusing the data",
    )


def add_demands(parser: argparse.ArgumentParser) -> None:
    """Declare the options that demand a result."""
    for option, metric in (("--min-accuracy", ACCURACY), ("--min-map", MAP), ("--min-map50", MAP_50)):
        parser.add_argument(
            option, type=_share, metavar="X", help=f"demand this {metric.replace('%', '%%')}, from 0 to 1"
        )
    parser.add_argument(
        "--no-worse-than",
        metavar="NAME",
        help=f"demand no significant loss against a release, or {FIRST_RELEASE}, on the same data",
    )


def data_options(options: argparse.Namespace) -> DataOptions:
    """The labelled data that the options name.

    Raises:
        EvaluationError: they are not there: said before anything is built or started.
    """
    if not options.data.exists():
        raise EvaluationError(f"{options.data} does not exist: name labelled data: --data PATH (make: DATA=PATH)")
    return DataOptions(options.data, options.images, dict(options.rename), options.count_unknown)


def demands(options: argparse.Namespace) -> Demands:
    """What the options demand."""
    given = {ACCURACY: options.min_accuracy, MAP: options.min_map, MAP_50: options.min_map50}
    return Demands({metric: limit for metric, limit in given.items() if limit is not None}, options.no_worse_than)


def run(options: argparse.Namespace) -> int:
    """Send labelled data to a service, and measure accuracy or mAP with 95 % intervals.

    Detectors are called with score_threshold 0.001, since average precision needs unlikely boxes, too. What is missing
    or refused stays in the denominator.

    Exit codes:
      0  measured, and every demand is met
      1  the evaluation could not be carried out
      2  wrong arguments
      3  a demand is not met

    make turns each but 0 into its own 2: scripts call `modelport evaluate`.
    """
    service, wanted, data = services.load()[options.service], demands(options), data_options(options)
    say: Callable[[str], None] = partial(print, flush=True)
    if options.url:
        out = options.out or place_of(service.name, _RUNNING)
        found = evaluate_url(service, options.url, options.repository or REPOSITORY, data, say, out)
    else:
        if FIRST_RELEASE in (options.release or FIRST_RELEASE, wanted.no_worse_than) and not options.repository:
            export_missing(StackSettings((service,)))
        if options.repository:
            if options.release:
                raise EvaluationError("--release and --repository exclude each other: name one of them")
            name, folder = "repository", options.repository
        else:
            name, folder = verified_repository(service.name, options.release or FIRST_RELEASE, options.releases)
        found = evaluate_release(service, name, folder, data, say, options.out)
    judgements = judge(found, wanted, baseline(service, found, wanted, data, options.releases, say))
    for one in judgements:
        say(one.line)
    return NOT_MET if verdict(judgements) else 0


def _pair(text: str) -> tuple[str, str]:
    name, found, label = text.partition("=")
    if not (name and found and label):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form CLASS=LABEL")
    return name, label


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1, such as 0.98")
    return value
