"""`python -m exporters.training`: train a model, and say how good it is."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from exporters.errors import ExportError
from exporters.training import OUTPUT, REPORTS, Options

MODELS = ("mnist", "anomaly", "cars")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m exporters.training", description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument(
        "--data",
        type=Path,
        help="your own: folder (mnist, cars), CSV (anomaly) or annotations (cars)",
    )
    parser.add_argument("--column", help="anomaly: column of the CSV")
    parser.add_argument("--epochs", type=int, help="at most; training stops earlier when it no longer helps")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="for the weights")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR", help="for the report")
    parser.add_argument("--resume", action="store_true", help="cars: go on from the last checkpoint")
    given = vars(parser.parse_args(arguments))
    model = given.pop("model")
    if given["epochs"] is not None and given["epochs"] < 1:
        parser.error("--epochs is 1 or more")
    options = Options(**given, report=_report)
    try:
        weights = importlib.import_module(f"exporters.training.{model}").train(options)
    except KeyboardInterrupt:
        print("interrupted: nothing was written but checkpoints, if the model has them (--resume)", file=sys.stderr)
        return 130
    except (ExportError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    record = weights.with_name(f"{model}_record.json")
    print(f"weights: {weights}\nrecord:  {record}\nreport:  {options.reports / model}")
    print(f"put them into the model repository: make export MODEL={model} WEIGHTS_DIR={weights.parent.resolve()}")
    return 0


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
