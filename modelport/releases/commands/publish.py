"""`modelport publish`: upload a release to storage."""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from exporters.repository import REPOSITORY
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.assembly import copy_models, models_of
from modelport.releases.claim import publish_to_claim
from modelport.releases.commands import Subparsers, add_command, add_releases
from modelport.releases.errors import StoreError
from modelport.releases.oci import publish_image
from modelport.releases.publishing import Progress, Published, publish, publish_archive, publish_initial
from modelport.releases.release import find
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

CLAIM = "pvc"


def add_to(commands: Subparsers) -> None:
    """Declare the command."""
    parser = add_command(commands, "publish", run)
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument(
        "--release",
        metavar="NAME",
        help=f"its name or a unique part of it (default: the newest), or {FIRST_RELEASE}: model_repository/ as it is",
    )
    parser.add_argument("--to", required=True, metavar="URL", help="s3://, gs://, az://, file:///, oci:/// or pvc")
    parser.add_argument("--archive", action="store_true", help="as one file, SERVICE/RELEASE.tar, for KServe over HTTP")
    parser.add_argument(
        "--overlay", default="storage-pvc", help="the overlay whose claim, namespace and image --to pvc uses"
    )
    add_releases(parser)


def run(options: argparse.Namespace) -> int:
    """Upload a release to storage from which clusters download it.

    The models become URL/SERVICE/RELEASE/MODEL/..., release.json last. Files that are there
    already and match are not sent again. URL is one of:

      s3://BUCKET/PREFIX             credentials: AWS_PROFILE, or AWS_* variables
      gs://BUCKET/PREFIX             credentials: Google's application default credentials
      az://CONTAINER/PREFIX          account and credentials: AZURE_STORAGE_* variables
      file:///PATH
      oci:///PATH                    the OCI image layout PATH/SERVICE, for skopeo or crane to push
      pvc                            the volume of the claim of --overlay, through a Job of the current cluster
    """
    if options.release == FIRST_RELEASE:
        with TemporaryDirectory() as copied:
            copy_models(REPOSITORY, models_of(options.service), Path(copied))
            return _publish(options, Path(copied), FIRST_RELEASE)
    folder = find(options.service, options.release, options.releases)
    release = verify(Folder(folder))
    for model in release.untrained:
        print(f"warning: {model} is untrained, so its answers mean nothing")
    return _publish(options, folder, release.name)


def _publish(options: argparse.Namespace, folder: Path, name: str) -> int:
    size = sum(Folder(folder).sizes().values())
    print(f"publishing {options.service} {name} ({size / 1e6:.1f} MB) to {options.to}", flush=True)
    total = size if options.to == CLAIM else 2 * size  # every byte is sent, and read back
    with tqdm(total=total, desc="sent and read", unit="B", unit_scale=True, leave=False, disable=None) as bar:
        published = _way(options, folder, name)(bar.update)
    what = "published" if published.new else "there already, unchanged"
    print(f"{what}: {published.address} ({published.sent} files sent, {published.found} found, all read back)")
    return 0


def _way(options: argparse.Namespace, folder: Path, name: str) -> Callable[[Progress], Published]:
    initial, service, to = name == FIRST_RELEASE, options.service, options.to
    image = to.startswith("oci:")
    if options.archive and (initial or image or to == CLAIM):
        raise StoreError(f"--archive is for a release in a folder or a bucket: leave it out for {name} to {to}")
    if to == CLAIM:
        return lambda progress: publish_to_claim(folder, service, name, options.overlay, initial, progress)
    if initial and image:
        raise StoreError(f"an image holds a release: build one with `modelport release {service}`")
    if initial:
        return lambda progress: publish_initial(folder, service, to, progress)
    send = publish_image if image else publish_archive if options.archive else publish
    return lambda progress: send(folder, to, progress)
