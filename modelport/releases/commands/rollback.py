"""End a service's canary; without one, go back to the stable release before this one, as the log knows it."""

from __future__ import annotations

import argparse

from modelport.releases.choosing import rollback
from modelport.releases.commands import choices

add_arguments = choices.add_change


def run(options: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    return choices.make("rollback", options, lambda now, changes: rollback(now, changes, options.service))
