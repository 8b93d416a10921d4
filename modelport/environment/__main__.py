"""`python -m modelport.environment [NEED ...]`: set-up, run by the system's Python in the checkout."""

from __future__ import annotations

import argparse
import os
import sys

from modelport.environment.layers import BASE, version_of
from modelport.environment.machine import PACKAGE, other_python, unfitness
from modelport.environment.project import ROOT, say
from modelport.environment.steps import NEEDS, set_up


def main(argv: list[str] | None = None) -> int:
    """Run set-up; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {PACKAGE}", description="Make the environments and install the pinned requirements."
    )
    parser.add_argument("needs", nargs="*", metavar="NEED", help=f"of {', '.join(NEEDS)} (default: serve)")
    parser.add_argument("--probe", action="store_true", help="only say whether this Python fits")
    parser.add_argument("--exactly", action="store_true", help="use this Python or none")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.needs) - set(NEEDS))
    if unknown:
        parser.error(f"there is no {unknown[0]!r}: choose one of {', '.join(NEEDS)}")
    reason = unfitness()
    if arguments.probe:
        say(reason or "fits")
        return 1 if reason else 0
    made = version_of(BASE)
    if arguments.exactly and made and not sys.version.startswith(made + " "):
        say(f"setup: .venv has Python {made}, not {sys.executable}: remove .venv* to make it anew", error=True)
        return 1
    if reason and not made and not arguments.exactly:
        python = other_python()
        if python:
            say(f"setup: {reason.partition(':')[0]}; using {python}")
            os.chdir(ROOT)
            os.execv(python, [python, "-m", PACKAGE, *arguments.needs])  # noqa: S606 (replaces this process on purpose)
    return set_up(*arguments.needs)


if __name__ == "__main__":
    sys.exit(main())
