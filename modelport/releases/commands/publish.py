"""Put a release where clusters fetch it: make publish SERVICE=detector TO=s3://bucket.

The models come to TO/SERVICE/RELEASE/MODEL/..., release.json last; what is there already and right is not sent again.
TO is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX, file:///PATH or oci:///PATH (an OCI image
layout PATH/SERVICE, for skopeo or crane to push). Credentials are found by each provider's own means: AWS_PROFILE or
AWS_*, Google's application default credentials, AZURE_STORAGE_*.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from modelport.releases.oci import publish_image
from modelport.releases.publishing import publish, publish_archive
from modelport.releases.release import RELEASES, find, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--release", metavar="NAME", help="or a part of it; the newest by default")
    parser.add_argument("--to", required=True, metavar="ADDRESS", help="s3://, gs://, az://, file:/// or oci:///")
    parser.add_argument("--archive", action="store_true", help="as one file, SERVICE/RELEASE.tar, for KServe over HTTP")
    parser.add_argument("--releases", type=Path, default=RELEASES, metavar="DIR", help="where releases were built")


def run(options: argparse.Namespace) -> int:
    """Publish, and say what came of it."""
    folder = find(options.service, options.release, options.releases)
    release = read(folder)
    print(f"publishing {options.service} {release.name} ({release.size / 1e6:.1f} MB) to {options.to}", flush=True)
    for model in release.untrained:
        print(f"warning: {model} is untrained: its answers mean nothing")
    as_files = publish_archive if options.archive else publish
    send = publish_image if options.to.startswith("oci:") else as_files
    total = 2 * release.size  # every byte counts twice: sent, and read back
    with tqdm(total=total, desc="sent and read", unit="B", unit_scale=True, leave=False, disable=None) as bar:
        published = send(folder, options.to, bar.update)
    what = "published" if published.new else "there already, unchanged"
    print(f"{what}: {published.address} ({published.sent} files sent, {published.found} found right, all read back)")
    return 0
