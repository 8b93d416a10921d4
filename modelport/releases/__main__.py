"""Build, check, evaluate, publish, compare and roll out releases of a service: `modelport release` and its siblings."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from modelport.arguments import errors_in_one_line

# By command, its module in commands/. Only that module is imported: each command has its own requirements.
MODULES: Mapping[str, str] = {
    "release": "release",
    "verify": "verify",
    "publish": "publish",
    "canary": "canary",
    "promote": "canary",
    "rollback": "canary",
    "shadow": "shadow",
    "releases": "releases",
    "compare": "compare",
    "evaluate": "evaluate",
    "replay": "replay",
    "drift-reference": "drift_reference",
    "update": "update",
}


@errors_in_one_line(OSError, interrupted="interrupted: run the command again to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 1 and a line on stderr for every expected error, 130 for Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(given[:1]).parse_args(given)
    return int(options.run(options))


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the named command, or of all commands where none is named."""
    parser = argparse.ArgumentParser(prog="modelport", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in dict.fromkeys([MODULES[name] for name in names if name in MODULES] or MODULES.values()):
        import_module(f"modelport.releases.commands.{module}").add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
