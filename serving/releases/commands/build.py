"""Build the release of a service's models, after a gate of checks: make release SERVICE=detector."""

from __future__ import annotations

import argparse
from pathlib import Path

from exporters.repository import REPOSITORY
from kserve_transformers.settings import CHAINS
from releases.assembly import models_of
from releases.building import build
from releases.release import RELEASES, SIGNATURE_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("service", metavar="SERVICE", help=f"of {', '.join(CHAINS)}")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, metavar="DIR", help="model repository")
    parser.add_argument("--releases", type=Path, default=RELEASES, metavar="DIR", help="where releases are built")
    parser.add_argument(
        "--force", action="store_true", help="let untrained weights go out; the release says so for ever"
    )
    parser.add_argument(
        "--sign-key", type=Path, metavar="PEM", help="sign it with this EC private key (SIGN_KEY_PASSWORD opens it)"
    )


def run(options: argparse.Namespace) -> int:
    """Build, and say what came of it."""
    models = ", ".join(models_of(options.service))
    print(f"releasing {options.service} ({models}) from {options.repository} to {options.releases / options.service}/")
    built = build(
        options.service,
        options.repository,
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
