"""`modelport canary`, `modelport promote` and `modelport rollback`: they edit manifests/releases/releases.yaml."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from kserve_transformers.judging.arguments import seconds, steps
from kserve_transformers.judging.judge import STEPS, Tally
from kserve_transformers.judging.pairs import disagreement
from kserve_transformers.record.reading import Reader
from modelport.manifests.rendering import MANIFESTS
from modelport.releases import log, rollout
from modelport.releases.commands import Run, Subparsers, add_command, add_releases
from modelport.releases.errors import RolloutError
from modelport.releases.judging.rolling import Rolling
from modelport.releases.judging.sight import Sight
from modelport.releases.rollout import Folders, Transition


def add_to(commands: Subparsers) -> None:
    """Declare the three commands."""
    parser = _add(commands, "canary", canary)
    parser.add_argument("release", metavar="RELEASE", help="its name, or a unique part of it")
    parser.add_argument(
        "percent", metavar="PERCENT", type=_percent, nargs="?", help="its share of the requests, 1 to 99"
    )
    parser.add_argument("--auto", action="store_true", help="judge the release and move its share step by step")
    parser.add_argument(
        "--steps", type=steps, default=STEPS, metavar="N,N", help=f"shares (default: {','.join(map(str, STEPS))})"
    )
    parser.add_argument(
        "--every",
        type=seconds(0.05, 86400),
        default=10.0,
        metavar="S",
        help="seconds between two looks (default: %(default)s)",
    )
    parser.add_argument(
        "--record",
        metavar="DIR",
        help="folder or URL of a record of the release as a shadow: its answers are judged too",
    )
    add_acceptance(parser)
    _add(commands, "promote", promote)
    _add(commands, "rollback", rollback)


def add_acceptance(parser: argparse.ArgumentParser) -> None:
    """Declare --port, of the stack that is watched, --unchecked and --untrained."""
    parser.add_argument("--port", type=int, help="of the stack (default: the only one with an overlay)")
    parser.add_argument("--unchecked", action="store_true", help="accept a full name of a release that is not here")
    parser.add_argument("--untrained", action="store_true", help="accept a release with untrained models")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Declare --manifests and --releases."""
    parser.add_argument(
        "--manifests", type=Path, default=MANIFESTS, metavar="DIR", help="folder of manifests (default: manifests)"
    )
    add_releases(parser)


def folders(options: argparse.Namespace) -> Folders:
    """The values of --manifests and --releases."""
    return Folders(options.manifests, options.releases)


def canary(options: argparse.Namespace) -> int:
    """Serve a share of a service's requests by another release.

    Edits the release file, prints the difference and logs the change. With --auto the command stays, judges the release
    by what the local stack's Envoy counts, and moves the share until the release serves all requests or none. Killed or
    interrupted, it leaves the share as it is, and goes on when it is started again.

    Exit codes with --auto:
      0  promoted
      1  the release file could not be changed
      2  wrong arguments
      3  reverted
      4  somebody else changed the service's releases
    """
    if options.auto != (options.percent is None):
        raise RolloutError("write either the share, PERCENT, or --auto (make: PERCENT=10 or AUTO=1)")
    place, service = folders(options), options.service
    now = rollout.choices(place, service)[service]
    release = rollout.resolve(place, service, options.release, options.unchecked, options.untrained)
    if not options.auto:
        return change("canary", options, rollout.canary(release, options.percent))
    if release == now.stable:
        raise RolloutError(f"{release} is the stable release already: choose another one")
    sight = Sight(service, place.baseline(service), options.port)
    pairs = _shadow_pairs(place, service, now.stable, release, options.record) if options.record else None
    rolling = Rolling(place, service, release, options.steps, options.every, options.why)
    return rolling.run(lambda choice: replace(sight.counts(choice), disagreement=pairs))


def promote(options: argparse.Namespace) -> int:
    """Serve all requests of a service by its canary.

    Edits the release file, prints the difference and logs the change.
    """
    return change("promote", options, rollout.promote)


def rollback(options: argparse.Namespace) -> int:
    """End a service's canary; without one, return to the stable release before the current one.

    Edits the release file, prints the difference and logs the change.
    """
    return change("rollback", options, rollout.rollback(options.service))


def _shadow_pairs(place: Folders, service: str, stable: str, release: str, record: str) -> Tally:
    started = log.latest_shadow(log.read(place.log), service)
    if started is None or started.after.shadow != release:
        raise RolloutError(f"{release} is not the latest shadow of {service}: leave out --record")
    since = datetime.fromisoformat(started.when).timestamp()
    found = disagreement(Reader(record, service), stable, release, since)
    if not found.total:
        raise RolloutError(f"{record} has no answers of {release} as a shadow of {stable}: leave out --record, or wait")
    return found


def _add(commands: Subparsers, name: str, run: Run) -> argparse.ArgumentParser:
    parser = add_command(commands, name, run)
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--why", default="", help="the reason, for the log")
    add_folders(parser)
    return parser


def change(what: str, options: argparse.Namespace, transition: Transition, overlay: str = "canary-standard") -> int:
    """Change the release file, and print the difference and who follows it; returns exit code 0."""
    print(rollout.change(folders(options), what, options.service, options.why, transition))
    kind = overlay.partition("-")[0]
    print(f"logged in {folders(options).log.name}; a local stack with a {kind} overlay follows the file")
    print(f"for a cluster: commit both files (GitOps), or run `make deploy OVERLAY={overlay}`")
    return 0


def percent(text: str, most: int = 100, hint: str = "") -> int:
    """A share from 1 to `most`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isdecimal() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not within 1 to {most}{hint}")
    return int(text)


def _percent(text: str) -> int:
    return percent(text, 99, "; for 0 roll back, for 100 promote")
