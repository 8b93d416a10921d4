"""`modelport verify`: check every file of a release, and its signature."""

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from modelport.releases.commands import Subparsers, add_command
from modelport.releases.oci import image_at
from modelport.releases.release import Release
from modelport.releases.signing import verify_signature
from modelport.releases.sources import Folder, Source, copy
from modelport.releases.store import Stored, open_store
from modelport.releases.verification import verify


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "verify", run)
    parser.add_argument(
        "place",
        metavar="PLACE",
        help="folder or s3://, gs://, az://, file:/// URL of a release, or oci:///PATH/SERVICE:RELEASE",
    )
    parser.add_argument("--verify-key", type=Path, metavar="PEM", help="public key that must have signed the release")


def run(options: argparse.Namespace) -> int:
    """Compare every file of a release, in a folder or in storage, with its release.json."""
    print(f"verifying {options.place}: every file against release.json", flush=True)
    source = _source(options.place)
    if options.verify_key:
        release = _verify_signed(source, options.verify_key)
        print(f"the signature is valid for {options.verify_key.name}")
    else:
        release = verify(source)
    print(
        f"{release.service} {release.name}: {len(release.contents)} files, {release.size / 1e6:.1f} MB, all as released"
    )
    if not release.documents:
        print("warning: it has no bill of materials: it was built by an older checkout")
    for model in release.untrained:
        print(f"warning: {model} is untrained, so its answers mean nothing")
    return 0


def _source(place: str) -> Source:
    scheme = urlsplit(place).scheme
    if scheme in ("", "file"):
        return Folder(Path(urlsplit(place).path))
    return image_at(place) if scheme == "oci" else Stored(open_store(place), "", place.rstrip("/"))


def _verify_signed(source: Source, key: Path) -> Release:
    """Both checks read the same copy, so that the files cannot change between them."""
    with tempfile.TemporaryDirectory(prefix="modelport-verify-") as scratch:
        copy(source, Path(scratch))
        verify_signature(Path(scratch), key)
        return verify(Folder(Path(scratch)))
