"""`modelport publish`: upload a release to storage."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.oci import publish_image
from modelport.releases.publishing import publish, publish_archive
from modelport.releases.release import find
from modelport.releases.sources import Folder
from modelport.releases.verification import read_release


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "publish", run)
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--release", metavar="NAME", help="its name or a unique part of it (default: the newest)")
    parser.add_argument("--to", required=True, metavar="URL", help="s3://, gs://, az://, file:/// or oci:///")
    parser.add_argument("--archive", action="store_true", help="as one file, SERVICE/RELEASE.tar, for KServe over HTTP")
    add_releases(parser)


def run(options: argparse.Namespace) -> int:
    """Upload a release to storage from which clusters download it.

    The models become URL/SERVICE/RELEASE/MODEL/..., release.json last. Files that are there
    already and match are not sent again. URL is one of:

      s3://BUCKET/PREFIX             credentials: AWS_PROFILE, or AWS_* variables
      gs://BUCKET/PREFIX             credentials: Google's application default credentials
      az://ACCOUNT/CONTAINER/PREFIX  credentials: AZURE_STORAGE_* variables
      file:///PATH
      oci:///PATH                    the OCI image layout PATH/SERVICE, for skopeo or crane to push
    """
    folder = find(options.service, options.release, options.releases)
    release = read_release(Folder(folder))
    print(f"publishing {options.service} {release.name} ({release.size / 1e6:.1f} MB) to {options.to}", flush=True)
    for model in release.untrained:
        print(f"warning: {model} is untrained, so its answers mean nothing")
    as_files = publish_archive if options.archive else publish
    send = publish_image if options.to.startswith("oci:") else as_files
    total = 2 * release.size  # every byte is sent, and read back
    with tqdm(total=total, desc="sent and read", unit="B", unit_scale=True, leave=False, disable=None) as bar:
        published = send(folder, options.to, bar.update)
    what = "published" if published.new else "there already, unchanged"
    print(f"{what}: {published.address} ({published.sent} files sent, {published.found} found, all read back)")
    return 0
