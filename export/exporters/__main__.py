"""`modelport export`: build the model repository, or a model from the user's own Darknet files."""

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from exporters.catalog import MODELS, TWO_INSTANCES, Model, WeightFile
from exporters.errors import ExportError, UnknownModelError
from exporters.repository import REPOSITORY, Exported
from exporters.table import table
from exporters.training import Options
from exporters.weights import Fetcher, Weights, verified

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    reader = parser()
    options = reader.parse_args(arguments)
    darknet = [options.cfg, options.weights, options.names, options.name]
    if any(darknet) and (not all(darknet) or options.models):
        reader.error("a Darknet model takes --cfg, --weights, --names and --name together, and no MODEL")
    try:
        if options.list:
            rows = [(model.name, model.source_page, model.licence, model.accuracy) for model in MODELS.values()]
            print(table([("model", "weights", "licence", "accuracy"), *rows]))
            return 0
        if options.cfg:
            model, weights = _own_darknet(options)
            return _export_all([model], options.repository, lambda _: weights)
        models = _of_catalog(options.models)
        with Fetcher(models, report=_report) as fetcher:
            return _export_all(models, options.repository, lambda model: _obtain(model, fetcher))
    except KeyboardInterrupt:
        print("interrupted: unfinished models were not written; run the command again", file=sys.stderr)
        return 130
    except (ExportError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="modelport export", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"one of {', '.join(MODELS)}; all by default")
    parser.add_argument("--list", action="store_true", help="show the catalog and exit")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, metavar="DIR", help="model repository")
    own = parser.add_argument_group("a Darknet model of your own")
    own.add_argument("--cfg", type=Path, help="network")
    own.add_argument("--weights", type=Path, help="its weights")
    own.add_argument("--names", type=Path, help="its labels, one a line")
    own.add_argument("--name", help="name of the model")
    for stated in ("source", "licence", "accuracy"):
        own.add_argument(f"--{stated}", default="not stated", help=f"{stated} of the weights, for config.pbtxt")
    return parser


def _of_catalog(names: Sequence[str]) -> list[Model]:
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise UnknownModelError(f"there is no model {unknown[0]}: choose one of {', '.join(MODELS)}")
    return [MODELS[name] for name in names] or list(MODELS.values())


def _obtain(model: Model, fetcher: Fetcher) -> Weights | None:
    """Fetch a model's weights, or train them where no source has them and the model is one of those that are trained.

    Returns:
        None for a model that is built untrained.
    """
    weights = fetcher.obtain(model)
    if weights is None and model.without_weights == "train":
        _report(f"{model.name}: training")
        path = importlib.import_module(f"exporters.training.{model.name}").train(Options(report=_report))
        return Weights({model.files[0].name: verified(path, None)})
    return weights


def _export_all(models: Sequence[Model], repository: Path, obtain: Callable[[Model], Weights | None]) -> int:
    """Export models one after another; a failure does not prevent the export of those that follow."""
    rows: list[tuple[str, ...]] = []
    for model in models:
        _report(f"{model.name}: exporting")
        try:
            weights = obtain(model)
            # Imported here: an exporter imports its framework, which the other models' environments lack.
            exporter = importlib.import_module(model.exporter)
            rows.append(_row(model.name, exporter.export(model, weights, repository / model.name)))
        except (ExportError, OSError) as exc:
            print(f"error: {model.name}: {exc}", file=sys.stderr)
    if rows:
        print(table([("model", "version", "weights", "source", "MB", "accuracy"), *rows]))
    return 0 if len(rows) == len(models) else 1


def _own_darknet(options: argparse.Namespace) -> tuple[Model, Weights]:
    if not _NAME.fullmatch(options.name):
        raise UnknownModelError(f"{options.name!r} is not a model name: use letters, digits, - and _")
    paths: list[Path] = [options.weights, options.cfg, options.names]
    model = Model(
        name=options.name,
        platform="onnxruntime_onnx",
        exporter="exporters.yolov3_tiny",
        files=tuple(WeightFile(path.name, None) for path in paths),
        licence=options.licence,
        source_page=options.source,
        accuracy=options.accuracy,
        without_weights="fail",
        placement=TWO_INSTANCES,
    )
    return model, Weights({path.name: verified(path, None) for path in paths})


def _row(name: str, exported: Exported) -> tuple[str, ...]:
    stated = exported.provenance
    return (
        name,
        f"{exported.version}{' (new)' if exported.changed else ''}",
        "trained" if stated.trained else "UNTRAINED",
        stated.source,
        f"{exported.artefact_bytes / 1e6:.1f}",
        stated.accuracy,
    )


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
