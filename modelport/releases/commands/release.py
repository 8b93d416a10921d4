"""`modelport release`: build and check a release of a service's models."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from exporters.repository import REPOSITORY
from exporters.weights import WEIGHTS_DIR
from modelport import services
from modelport.environment import ROOT
from modelport.exporting import export
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.assembly import models_of
from modelport.releases.building import build
from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.commands.evaluate import add_data, add_demands, data_options, demands
from modelport.releases.errors import GateError
from modelport.releases.gate.evaluation import Evaluation
from modelport.releases.release import SIGNATURE_FILE
from modelport.stack.stack import StackSettings, export_missing

# Kept between runs, so that the same weights give the same artefact and therefore the same release.
OWN_WEIGHTS = ROOT / "build" / "repository"


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "release", run)
    parser.add_argument("service", metavar="SERVICE", help=f"one of: {', '.join(services.load())}")
    parser.add_argument("--repository", type=Path, metavar="DIR", help="model repository (default: model_repository)")
    parser.add_argument(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="export the weights in this folder first, into --repository (default then: build/repository)",
    )
    add_releases(parser)
    parser.add_argument("--force", action="store_true", help="release untrained weights; release.json records it")
    add_data(parser, required=False)
    parser.add_argument(
        "--evaluation", type=Path, metavar="JSON", help="report.json of `modelport evaluate` on exactly these models"
    )
    add_demands(parser)
    parser.add_argument(
        "--sign-key",
        type=Path,
        metavar="PEM",
        help="EC private key that signs the release; SIGN_KEY_PASSWORD holds its password",
    )


def run(options: argparse.Namespace) -> int:
    """Build a release of a service's models, if they pass the checks of the gate."""
    models = models_of(options.service)
    evaluation = _evaluation(options)
    repository = options.repository or (OWN_WEIGHTS if options.weights_dir else REPOSITORY)
    if options.weights_dir:
        _export(models, options.weights_dir, repository)
    target = options.releases / options.service
    print(f"releasing {options.service} ({', '.join(models)}) from {repository} to {target}/", flush=True)
    built = build(
        options.service,
        repository,
        options.releases,
        options.force,
        options.sign_key,
        evaluation,
        report=lambda line: print(f"  {line}", flush=True),
    )
    for model in built.release.untrained:
        print(f"warning: {model} is untrained, which release.json records")
    if built.new and built.release.dirty:
        print("note: the checkout has uncommitted changes, which release.json records")
    what = "built" if built.new else "unchanged, kept"
    signed = ", signed" if (built.folder / SIGNATURE_FILE).exists() else ""
    print(f"{what}: {built.folder} ({len(built.release.files)} files, {built.release.size / 1e6:.1f} MB{signed})")
    return 0


def _evaluation(options: argparse.Namespace) -> Evaluation | None:
    """How the release is evaluated, by the options.

    Raises:
        GateError: there are demands and nothing that could show that they are met, or two such things.
    """
    wanted = demands(options)
    if options.data and options.evaluation:
        raise GateError("--data and --evaluation exclude each other: name one of them")
    if not options.data and not options.evaluation:
        if wanted.least or wanted.no_worse_than:
            raise GateError("a demand needs labelled data: name them by --data, or a report of them by --evaluation")
        return None
    service = services.load()[options.service]
    if wanted.no_worse_than == FIRST_RELEASE:
        export_missing(StackSettings((service,)))
    return Evaluation(service, options.evaluation or data_options(options), wanted, options.releases)


def _export(models: Sequence[str], weights_dir: Path, repository: Path) -> None:
    """Export into a repository.

    Raises:
        GateError: there is no such folder, or the exporters failed; they said why.
    """
    if not weights_dir.is_dir():
        raise GateError(f"{weights_dir} is not a folder: name the one into which `make train` wrote weights")
    environment = {**os.environ, WEIGHTS_DIR: str(weights_dir.resolve())}
    if export(models, repository, environment):
        raise GateError(f"export of {', '.join(models)} failed, see above")
