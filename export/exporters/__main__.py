"""`modelport export`: build the model repository, or one model out of a user's own Darknet files."""

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from exporters.catalog import MODELS, TWO_INSTANCES, Model, WeightFile
from exporters.errors import ExportError, UnknownModelError
from exporters.files import content_sha256
from exporters.repository import REPOSITORY, Exported
from exporters.table import table
from exporters.weights import FetchedFile, Fetcher, Weights

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
            rows = [
                (model.name, model.service, model.source_page, model.licence, model.accuracy)
                for model in MODELS.values()
            ]
            print(table([("model", "service", "weights", "licence", "accuracy"), *rows]))
            return 0
        if options.cfg:
            model, weights = _own_darknet(options)
            return _export_all([model], options.repository, lambda _: weights)
        models = _of_catalog(options.models)
        with Fetcher(models, report=_report) as fetcher:
            return _export_all(models, options.repository, fetcher.obtain)
    except KeyboardInterrupt:
        print("interrupted: what was not finished is not there; run it again", file=sys.stderr)
        return 130
    except (ExportError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="modelport export", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all by default")
    parser.add_argument("--list", action="store_true", help="show the catalog and do nothing")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, metavar="DIR", help="model repository")
    own = parser.add_argument_group("a Darknet model of your own")
    own.add_argument("--cfg", type=Path, help="network")
    own.add_argument("--weights", type=Path, help="its weights")
    own.add_argument("--names", type=Path, help="its labels, one a line")
    own.add_argument("--name", help="what the model shall be called")
    for stated in ("source", "licence", "accuracy"):
        own.add_argument(f"--{stated}", default="not stated", help=f"{stated} of the weights, for config.pbtxt")
    return parser


def _of_catalog(names: Sequence[str]) -> list[Model]:
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise UnknownModelError(f"there is no model {unknown[0]}: choose of {', '.join(MODELS)}")
    return [MODELS[name] for name in names] or list(MODELS.values())


def _export_all(models: Sequence[Model], repository: Path, obtain: Callable[[Model], Weights | None]) -> int:
    """Export one model after another; one that fails does not keep the others from being built."""
    rows: list[tuple[str, ...]] = []
    for model in models:
        _report(f"{model.name}: exporting")
        try:
            weights = obtain(model)
            # Imported here: torch and TensorFlow take seconds, and a detector needs neither.
            exporter = importlib.import_module(model.exporter)
            rows.append(_row(model.name, exporter.export(model, weights, repository / model.name)))
        except (ExportError, OSError) as exc:
            print(f"error: {model.name}: {exc}", file=sys.stderr)
    if rows:
        print(table([("model", "version", "weights", "source", "MB", "accuracy"), *rows]))
    return 0 if len(rows) == len(models) else 1


def _own_darknet(options: argparse.Namespace) -> tuple[Model, Weights]:
    if not _NAME.fullmatch(options.name):
        raise UnknownModelError(f"{options.name!r} is no name for a model: take letters, digits, - and _")
    paths: list[Path] = [options.weights, options.cfg, options.names]
    files = {path.name: FetchedFile(path, content_sha256(path)) for path in paths}
    model = Model(
        name=options.name,
        service="detector",
        platform="onnxruntime_onnx",
        exporter="exporters.yolov3_tiny",
        files=tuple(WeightFile(path.name, None) for path in paths),
        licence=options.licence,
        source_page=options.source,
        accuracy=options.accuracy,
        required=True,
        placement=TWO_INSTANCES,
    )
    return model, Weights(files)


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
