"""`modelport canary`, `modelport promote` and `modelport rollback`: they edit manifests/releases/releases.yaml."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelport.manifests.rendering import MANIFESTS
from modelport.releases import rollout
from modelport.releases.commands import Run, Subparsers, add_command, add_releases
from modelport.releases.rollout import Folders, Transition


def add_to(commands: Subparsers) -> None:
    """Declare the three commands."""
    parser = _add(commands, "canary", canary)
    parser.add_argument("release", metavar="RELEASE", help="its name, or a unique part of it")
    parser.add_argument("percent", metavar="PERCENT", type=_percent, help="its share of the requests, 1 to 99")
    parser.add_argument("--unchecked", action="store_true", help="accept a full name of a release that is not here")
    parser.add_argument("--untrained", action="store_true", help="accept a release with untrained models")
    _add(commands, "promote", promote)
    _add(commands, "rollback", rollback)


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

    Edits the release file, prints the difference and logs the change.
    """
    rollout.choices(folders(options), options.service)
    release = rollout.resolve(folders(options), options.service, options.release, options.unchecked, options.untrained)
    return _change("canary", options, rollout.canary(release, options.percent))


def promote(options: argparse.Namespace) -> int:
    """Serve all requests of a service by its canary.

    Edits the release file, prints the difference and logs the change.
    """
    return _change("promote", options, rollout.promote)


def rollback(options: argparse.Namespace) -> int:
    """End a service's canary; without one, return to the stable release before the current one.

    Edits the release file, prints the difference and logs the change.
    """
    return _change("rollback", options, rollout.rollback(options.service))


def _add(commands: Subparsers, name: str, run: Run) -> argparse.ArgumentParser:
    parser = add_command(commands, name, run)
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--why", default="", help="the reason, for the log")
    add_folders(parser)
    return parser


def _change(what: str, options: argparse.Namespace, transition: Transition) -> int:
    print(rollout.change(folders(options), what, options.service, options.why, transition))
    print(f"logged in {folders(options).log.name}; a local stack with a canary overlay follows the file")
    print("for a cluster: commit both files (GitOps), or run `make deploy OVERLAY=canary-standard`")
    return 0


def _percent(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 99):
        raise argparse.ArgumentTypeError(f"{text!r} is not within 1 to 99; for 0 roll back, for 100 promote")
    return int(text)
