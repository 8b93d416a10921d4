"""Build the release of a service's models, after a gate of checks: make release SERVICE=detector."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from exporters.repository import REPOSITORY
from exporters.weights import WEIGHTS_DIR
from kserve_transformers.settings import CHAINS
from modelport.environment import ROOT
from modelport.exporting import export
from modelport.releases.assembly import models_of
from modelport.releases.building import build
from modelport.releases.errors import GateError
from modelport.releases.release import RELEASES, SIGNATURE_FILE

# Kept, so that the same weights give the same artefact and with it the same release.
OWN_WEIGHTS = ROOT / "build" / "repository"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("service", metavar="SERVICE", help=f"of {', '.join(CHAINS)}")
    parser.add_argument("--repository", type=Path, metavar="DIR", help="model repository (default: model_repository)")
    parser.add_argument(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="export these weights first, into a repository beside that of the checkout (default: build/repository)",
    )
    parser.add_argument("--releases", type=Path, default=RELEASES, metavar="DIR", help="where releases are built")
    parser.add_argument(
        "--force", action="store_true", help="let untrained weights go out; the release says so for ever"
    )
    parser.add_argument(
        "--sign-key", type=Path, metavar="PEM", help="sign it with this EC private key (SIGN_KEY_PASSWORD opens it)"
    )


def run(options: argparse.Namespace) -> int:
    """Build, and say what came of it."""
    models = models_of(options.service)
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
        report=lambda line: print(f"  {line}", flush=True),
    )
    for model in built.release.untrained:
        print(f"warning: {model} is untrained: this release says so for ever")
    if built.new and built.release.dirty:
        print("note: the checkout has changes that are in no commit; release.json says so")
    what = "built" if built.new else "nothing new, kept"
    signed = ", signed" if (built.folder / SIGNATURE_FILE).exists() else ""
    size = f"{len(built.release.files)} files, {built.release.size / 1e6:.1f} MB{signed}"
    print(f"{what}: {built.folder} ({size})")
    return 0


def _export(models: Sequence[str], weights_dir: Path, repository: Path) -> None:
    """Export into a repository.

    Raises:
        GateError: there is no such folder, or the exporters failed; they said why.
    """
    if not weights_dir.is_dir():
        raise GateError(f"{weights_dir} is not a folder: name the one that `make train` wrote weights to")
    environment = {**os.environ, WEIGHTS_DIR: str(weights_dir.resolve())}
    if export(models, [f"--repository={repository}"], environment):
        raise GateError(f"export of {', '.join(models)} failed, see above")
