"""`python -m exporters.adding COMMAND FILE ...`: a format's module, in the environment of its framework.

describe FILE HINTS: prints a Description. build FILE PLAN ARTEFACT. reference FILE PLAN SAMPLES ANSWERS: HINTS and PLAN
are JSON files, it reads a .npy and writes an .npz. rebuild FOLDER: makes the artefact of an added model again. An error
is one line, `error: ...`, and exit code 1, or 2 where a flag of `modelport add` would settle it.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from exporters.adding import record
from exporters.adding.formats import FORMATS, recognise
from exporters.adding.plan import Hints, Plan, from_json, to_json
from exporters.errors import ExportError, UnclearModelError

_OPERANDS: Mapping[str, tuple[str, ...]] = {
    "rebuild": (),
    "describe": ("hints",),
    "build": ("plan", "artefact"),
    "reference": ("plan", "samples", "answers"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m exporters.adding", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, operands in _OPERANDS.items():
        reader = commands.add_parser(command)
        for operand in ("file", *operands):
            reader.add_argument(operand, type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "rebuild":
            record.rebuild(options.file)
            return 0
        module = importlib.import_module(FORMATS[recognise(options.file)].module)
        if options.command == "describe":
            print(
                to_json(module.describe(options.file, from_json(Hints, options.hints.read_bytes()))).replace("\n", " ")
            )
            return 0
        plan = from_json(Plan, options.plan.read_bytes())
        if options.command == "build":
            module.build(options.file, plan, options.artefact)
        else:
            np.savez(options.answers, **module.reference(options.file, plan, np.load(options.samples)))
    except (ExportError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, UnclearModelError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
