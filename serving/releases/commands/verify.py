"""Check a release, in a folder or in storage, against its release.json: every file, nothing missing, nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from releases.signing import verify_signature
from releases.sources import Folder
from releases.verification import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("place", metavar="FOLDER", help="the folder of a release")
    parser.add_argument("--verify-key", type=Path, metavar="PEM", help="and its signature, by this public key")


def run(options: argparse.Namespace) -> int:
    """Verify, and say what it is."""
    print(f"verifying {options.place}: every file against release.json", flush=True)
    release = verify(Folder(Path(options.place)))
    print(f"{release.service} {release.name}: {len(release.files)} files, {release.size / 1e6:.1f} MB, all as released")
    if options.verify_key:
        verify_signature(Path(options.place), options.verify_key)
        print(f"the signature holds for {options.verify_key.name}")
    for model in release.untrained:
        print(f"warning: {model} is untrained: its answers mean nothing")
    return 0
