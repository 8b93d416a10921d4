"""Let a service's canary serve all requests: writes it into the release file, shows the difference, logs it."""

from __future__ import annotations

import argparse

from modelport.releases.choosing import promote
from modelport.releases.commands import choices

add_arguments = choices.add_change


def run(options: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    return choices.make("promote", options, promote)
