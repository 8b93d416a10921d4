"""The commands on releases, one module each; canary, promote and rollback share one. `add_to` declares a command.

The help of a command is the docstring of the function that runs it.
"""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from modelport.releases.release import RELEASES

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace], int]


def add_command(commands: Subparsers, name: str, run: Run) -> argparse.ArgumentParser:
    """Declare a command; returns its parser."""
    text = inspect.getdoc(run) or ""
    parser = commands.add_parser(
        name,
        help=text.partition("\n")[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_releases(parser: argparse.ArgumentParser) -> None:
    """Declare --releases, the folder of releases."""
    parser.add_argument(
        "--releases", type=Path, default=RELEASES, metavar="DIR", help="folder of releases (default: build/releases)"
    )
