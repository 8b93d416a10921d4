"""`modelport drift-reference`: make the reference with which a model's requests are compared."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.files import replace_file
from exporters.repository import REPOSITORY
from kserve_transformers.client.storage import is_url
from kserve_transformers.drift.reference import FILE, MIN_INSTANCES, Features, Reference, features
from kserve_transformers.record.folder import SUFFIX
from kserve_transformers.record.reading import Reader
from kserve_transformers.service_spec import ServiceSpec
from modelport import services
from modelport.environment import ROOT
from modelport.releases.commands import Subparsers, add_command
from modelport.releases.comparison.caller import RefusedError
from modelport.releases.comparison.samples import find_samples
from modelport.releases.comparison.side import side
from modelport.releases.errors import ComparisonError
from modelport.stack.stack import StackSettings, export_missing


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "drift-reference", run)
    parser.add_argument("service", metavar="SERVICE", choices=tuple(services.load()))
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="DIR",
        help="folder or URL that `serve --record` wrote to; or a folder of images, for the task anomaly of windows",
    )
    parser.add_argument("--release", help="take only what this release answered")
    parser.add_argument(
        "--repository", type=Path, default=REPOSITORY, metavar="DIR", help="model repository (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Make the reference of drift for the models of a service, from a record or a folder of images.

    It is MODEL/drift.json in the model repository: histograms of the statistics of inputs and answers.
    Servers read it when they start; a release that is built later contains it. A folder of images is
    sent to the models of the repository first, so that their answers are part of the reference.
    """
    service = services.load()[options.service]
    seen: dict[str, list[Features]] = {}
    with _record(options.source, service, options.repository) as place:
        for recorded in Reader(place, service.name):
            if recorded.model and options.release in (None, recorded.release):
                described = zip(recorded.instances, recorded.predictions, strict=True)
                seen.setdefault(recorded.model, []).extend(features(*one) for one in described)
    enough = {model: found for model, found in seen.items() if len(found) >= MIN_INSTANCES}
    if not enough:
        told = ", ".join(f"{len(found)} of {model}" for model, found in seen.items()) or "none"
        raise ComparisonError(
            f"a reference needs at least {MIN_INSTANCES} instances with an answer of a model of {service.name}; "
            f"{options.source} has {told}"
        )
    for model, found in enough.items():
        reference = Reference.of(found)
        about = {"service": service.name, "model": model, "instances": len(found)}
        path = options.repository / model / FILE
        replace_file(path, reference.text(**about).encode())
        print(f"{path}: {len(found)} instances; {', '.join(name for name, _ in reference)}")
    return 0


@contextmanager
def _record(source: str, service: ServiceSpec, repository: Path) -> Iterator[str]:
    """The record itself, or one that is made by sending samples to the models of the repository."""
    if is_url(source) or any(Path(source).rglob(f"*{SUFFIX}")):
        yield source
        return
    samples = find_samples(service, Path(source), [repository])
    export_missing(StackSettings((service,), repository=repository))
    with tempfile.TemporaryDirectory() as folder:
        print(f"sending {len(samples)} samples to {service.name}", flush=True)
        logs = ROOT / "build" / "drift" / service.name
        with side(service.name, service, repository, logs, (f"--record={folder}",)) as one:
            for sample in samples:
                try:
                    one.infer(sample)
                except RefusedError as exc:
                    print(f"left out: {sample.name}: {exc}", flush=True)
        yield folder
