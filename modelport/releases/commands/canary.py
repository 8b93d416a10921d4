"""Try a release on a share of a service's traffic: writes it into the release file, shows the difference, logs it."""

from __future__ import annotations

import argparse

from modelport.releases.choosing import canary, chosen, known_release
from modelport.releases.commands import choices


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    choices.add_change(parser)
    parser.add_argument("release", help="its name, or a part of it that no other one has")
    parser.add_argument("percent", type=_percent, help="its share of the requests, 1 to 99")
    parser.add_argument("--unchecked", action="store_true", help="it is published, but not on this machine")
    parser.add_argument("--untrained", action="store_true", help="even if its models are untrained")


def run(options: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    place = choices.place(options)
    chosen(place, options.service)
    release = known_release(place, options.service, options.release, options.unchecked, options.untrained)
    return choices.make("canary", options, canary(release, options.percent))


def _percent(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 99):
        raise argparse.ArgumentTypeError(f"{text!r}: 1 to 99; for 0 roll back, for 100 promote")
    return int(text)
