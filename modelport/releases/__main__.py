"""`python -m modelport.releases COMMAND`: build, check, publish and choose releases of a service's models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from exporters.errors import ExportError
from modelport.environment import SetupError
from modelport.releases.commands import build, canary, compare, list, promote, publish, rollback, update, verify
from modelport.releases.errors import ReleaseError


class Command(Protocol):
    """What a module in releases.commands has."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


COMMANDS: Mapping[str, Command] = {
    "build": build,
    "publish": publish,
    "verify": verify,
    "canary": canary,
    "promote": promote,
    "rollback": rollback,
    "list": list,
    "compare": compare,
    "update": update,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except KeyboardInterrupt:
        print("interrupted: run it again to go on", file=sys.stderr)
        return 130
    except (ReleaseError, ExportError, SetupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelport.releases", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        text = (command.__doc__ or "").strip()
        command.add_arguments(
            commands.add_parser(name, help=text.partition("\n")[0], description=text, allow_abbrev=False)
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
