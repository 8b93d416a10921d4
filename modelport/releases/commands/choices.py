"""What the commands that change the release file have in common: their arguments, and what they tell."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelport.manifests.rendering import MANIFESTS
from modelport.releases.choosing import Decide, Place, change
from modelport.releases.release import RELEASES


def add_place(parser: argparse.ArgumentParser) -> None:
    """Declare where the release file and this machine's releases are."""
    parser.add_argument("--manifests", type=Path, default=MANIFESTS, metavar="DIR", help="of this checkout by default")
    parser.add_argument("--releases", type=Path, default=RELEASES, metavar="DIR", help="build/releases by default")


def add_change(parser: argparse.ArgumentParser) -> None:
    """Declare what every change takes."""
    parser.add_argument("service")
    parser.add_argument("--why", default="", help="for the log")
    add_place(parser)


def place(options: argparse.Namespace) -> Place:
    """Where the release file and this machine's releases are."""
    return Place(options.manifests, options.releases)


def make(what: str, options: argparse.Namespace, decide: Decide) -> int:
    """Change the release file, and say what was done and what comes next. Returns the exit code."""
    print(change(place(options), what, options.service, options.why, decide))
    print(f"logged in {place(options).log.name}; a local stack of a canary overlay follows by itself")
    print("for a cluster: commit both files (GitOps), or `make deploy OVERLAY=canary-standard`")
    return 0
