"""Check a release, in a folder or in storage, against its release.json: every file, nothing missing, nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from releases.sources import Folder
from releases.verification import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("place", metavar="FOLDER", help="the folder of a release")


def run(options: argparse.Namespace) -> int:
    """Verify, and say what it is."""
    print(f"verifying {options.place}: every file against release.json", flush=True)
    release = verify(Folder(Path(options.place)))
    print(f"{release.service} {release.name}: {len(release.files)} files, {release.size / 1e6:.1f} MB, all as released")
    for model in release.untrained:
        print(f"warning: {model} is untrained: its answers mean nothing")
    return 0
