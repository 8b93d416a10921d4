"""`modelport train`: train a model, and print its score."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from exporters import training_record
from exporters.errors import ExportError
from exporters.training import OUTPUT, REPORTS, Options

MODELS = ("mnist", "anomaly", "cars")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="modelport train", description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument(
        "--data", type=Path, help="your data: a folder (mnist, cars), a CSV file (anomaly, cars) or annotations (cars)"
    )
    parser.add_argument("--column", help="anomaly: column of the CSV file")
    parser.add_argument("--epochs", type=int, help="at most; training stops earlier when it no longer helps")
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="folder of the weights")
    parser.add_argument("--reports", type=Path, default=REPORTS, metavar="DIR", help="folder of the report")
    parser.add_argument("--resume", action="store_true", help="cars: continue from the last checkpoint")
    given = vars(parser.parse_args(arguments))
    model = given.pop("model")
    if given["epochs"] is not None and given["epochs"] < 1:
        parser.error("--epochs must be 1 or more")
    options = Options(**given, report=_report)
    try:
        weights = importlib.import_module(f"exporters.training.{model}").train(options)
    except KeyboardInterrupt:
        print("interrupted: nothing was written except checkpoints of cars (--resume)", file=sys.stderr)
        return 130
    except (ExportError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    record = training_record.read(model, weights)
    print(f"weights: {weights}\nrecord:  {training_record.path(model, weights)}\nreport:  {options.reports / model}")
    print(f"score:   {record.accuracy if record else 'not measured'}")
    print(f"export them to the model repository: make export MODEL={model} WEIGHTS_DIR={weights.parent.resolve()}")
    return 0


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
