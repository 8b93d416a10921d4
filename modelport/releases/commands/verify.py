"""Check a release, in a folder or in storage, against its release.json: every file, nothing missing, nothing else."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from modelport.releases.oci import image_at
from modelport.releases.release import Release
from modelport.releases.signing import verify_signature
from modelport.releases.sources import Folder, Source, copy
from modelport.releases.store import Stored, open_store
from modelport.releases.verification import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "place",
        metavar="PLACE",
        help="folder, s3://, gs://, az:// or file:/// of a release, oci:///PATH/SERVICE:RELEASE",
    )
    parser.add_argument("--verify-key", type=Path, metavar="PEM", help="and its signature, by this public key")


def run(options: argparse.Namespace) -> int:
    """Verify, and say what it is."""
    print(f"verifying {options.place}: every file against release.json", flush=True)
    source = _source(options.place)
    if options.verify_key:
        release = _verify_signed(source, options.verify_key)
        print(f"the signature holds for {options.verify_key.name}")
    else:
        release = verify(source)
    print(f"{release.service} {release.name}: {len(release.files)} files, {release.size / 1e6:.1f} MB, all as released")
    for model in release.untrained:
        print(f"warning: {model} is untrained: its answers mean nothing")
    return 0


def _source(place: str) -> Source:
    scheme = urlsplit(place).scheme
    if scheme in ("", "file"):
        return Folder(Path(urlsplit(place).path))
    return image_at(place) if scheme == "oci" else Stored(open_store(place), "", place.rstrip("/"))


def _verify_signed(source: Source, key: Path) -> Release:
    """The signature is checked over a copy: what was read once is what is judged."""
    with tempfile.TemporaryDirectory(prefix="modelport-verify-") as scratch:
        copy(source, Path(scratch))
        verify_signature(Path(scratch), key)
        return verify(Folder(Path(scratch)))
